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
    .requiredOption('--bundle <file>', 'SPIFFE bundle, bundle map or JWK Set')
    .requiredOption('--trust-domain <name>', 'the trust domain it belongs to')
  judging(command, 'aims verify bundle --bundle bundle.json --trust-domain example.com')
  command.action((options: Options) =>
    judge(options, (): Result => {
      const bundle = readBundle(options.bundle, readOrigin(options.trustDomain).trustDomain)
      return {
        ok: true,
        trustDomain: bundle.trustDomain,
        sequence: bundle.sequence,
        refreshHint: bundle.refreshHint,
        x509Authorities: bundle.x509Authorities.map((der) => sha256(der).toString('hex')),
        jwtAuthorities: [...bundle.jwtAuthorities.keys()],
        witAuthorities: [...bundle.witAuthorities.keys()],
      }
    }),
  )
}
