import { decodeUnverifiedX509Svid, parsePemChain, splitDerChain, verifyX509Svid } from 'aims/credentials'
import type { Command } from 'commander'
import { UsageError } from '../../exit.ts'
import { readInput } from '../../input.ts'
import type { Result } from '../../output.ts'
import { type JudgingOptions, judge, judging, originOf, readBundleSource, readOrigin, toTime } from './options.ts'

interface Options extends JudgingOptions {
  readonly chain: string
  readonly bundle: string
  readonly trustDomain: string
  readonly mode: string
}

export function defineX509Svid(parent: Command): void {
  const command = parent
    .command('x509-svid')
    .description('judge an X.509-SVID or Workload Identity Certificate with its chain')
    .requiredOption('--chain <file>', 'PEM or concatenated DER, leaf first')
    .requiredOption('--bundle <file>', 'SPIFFE bundle, bundle map, or CA certificates in PEM or DER')
    .requiredOption('--trust-domain <name>', 'the trust domain the bundle belongs to')
    .option('--mode <name>', 'svid (strict) or wic', 'svid')
  judging(command, 'aims verify x509-svid --chain svid.pem --bundle bundle.json --trust-domain example.com')
  command.action((options: Options) =>
    judge(options, ({ now }): Result => {
      const { mode } = options
      if (mode !== 'svid' && mode !== 'wic') throw new UsageError('--mode takes svid or wic')
      const origin = readOrigin(options.trustDomain)
      const { trustDomain } = origin
      const chain = readChain(options.chain)
      const [claimed] = decodeUnverifiedX509Svid(chain).leaf.altNames.uris
      const bundles = readBundleSource(options.bundle, origin, claimed)
      // Judged by the specification, which leaves the kind of key to the relying party.
      const svid = verifyX509Svid(chain, { bundles, now, mode, trustDomain, ed25519: true })
      const { subject, serialNumber, thumbprint, dnsNames } = svid
      return {
        ok: true,
        subject,
        trustDomain,
        origin: originOf(subject),
        mode,
        serialNumber,
        thumbprint,
        dnsNames,
        expiresAt: toTime(svid.expiresAt),
      }
    }),
  )
}

function readChain(path: string): readonly Uint8Array[] {
  const bytes = readInput(path)
  return bytes.includes('-----BEGIN') ? parsePemChain(bytes.toString('latin1')) : splitDerChain(bytes)
}
