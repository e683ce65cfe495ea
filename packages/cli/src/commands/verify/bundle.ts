import { sha256 } from 'aims/base'
import type { Command } from 'commander'
import type { Result } from '../../output.ts'
import { type JudgingOptions, judge, judging, readBundle, readOrigin } from './options.ts'

interface Options extends JudgingOptions {
  readonly bundle: string
  readonly trustDomain: string
}

export function defineBundle(parent: Command): void {
  const command = parent
    .command('bundle')
    .description('judge a trust bundle')
    .requiredOption('--bundle <file>', 'SPIFFE bundle, bundle map, JWK Set, JWK, or CA certificates')
    .requiredOption('--trust-domain <name>', 'the trust domain it belongs to')
  judging(command, 'aims verify bundle --bundle bundle.json --trust-domain example.com')
  command.action((options: Options) =>
    judge(options, (): Result => {
      const { trustDomain, scheme = 'spiffe' } = readOrigin(options.trustDomain)
      const { bundle, warnings } = readBundle(options.bundle, trustDomain)
      const { x509Authorities, jwtAuthorities, witAuthorities } = bundle
      const isEmpty = x509Authorities.length + jwtAuthorities.size + witAuthorities.size === 0
      return {
        ok: true,
        trustDomain,
        origin: `${scheme}://${trustDomain}`,
        sequence: bundle.sequence,
        refreshHint: bundle.refreshHint,
        x509Authorities: x509Authorities.map((der) => sha256(der).toString('hex')),
        jwtAuthorities: [...jwtAuthorities.keys()],
        witAuthorities: [...witAuthorities.keys()],
        warnings: isEmpty ? [...warnings, 'no usable authority: nobody of this trust domain is trusted'] : warnings,
      }
    }),
  )
}
