import { AimsError, refuseAs } from 'aims/base'
import { decodeUnverifiedJwtSvid, verifyJwtSvid } from 'aims/credentials'
import { parseSpiffeId, type TrustDomain, trustDomainOf } from 'aims/identifiers'
import type { Command } from 'commander'
import { readToken } from '../../input.ts'
import type { Result } from '../../output.ts'
import { type JudgingOptions, judge, judging, readBundleSource, readOrigin, toTime } from './options.ts'

interface Options extends JudgingOptions {
  readonly token: string
  readonly bundle: string
  readonly audience: string
  readonly trustDomain?: string
}

export function defineJwtSvid(parent: Command): void {
  const command = parent
    .command('jwt-svid')
    .description('judge a JWT-SVID')
    .requiredOption('--token <file>', 'the JWT-SVID')
    .requiredOption('--bundle <file>', 'SPIFFE bundle, bundle map or JWK Set')
    .requiredOption('--audience <value>', 'our own audience')
    .option('--trust-domain <name>', 'the trust domain the bundle belongs to; by default that of the subject')
  judging(command, 'aims verify jwt-svid --token svid.jwt --bundle bundle.json --audience https://api.example.com')
  command.action((options: Options) =>
    judge(options, ({ now, clockSkew }): Result => {
      const token = readToken(options.token)
      const trustDomain =
        options.trustDomain === undefined ? claimedTrustDomain(token) : readOrigin(options.trustDomain).trustDomain
      const bundles = readBundleSource(options.bundle, { trustDomain, scheme: 'spiffe' })
      const svid = verifyJwtSvid(token, { bundles, audience: options.audience, now, clockSkew, trustDomain })
      return {
        ok: true,
        subject: svid.subject,
        trustDomain,
        audiences: svid.audiences,
        expiresAt: toTime(svid.expiresAt),
      }
    }),
  )
}

// The operator says by passing the file that he trusts it for this subject: a plain bundle does not name its domain.
function claimedTrustDomain(token: string): TrustDomain {
  const { sub } = decodeUnverifiedJwtSvid(token).claims
  if (typeof sub !== 'string') throw new AimsError('credential.invalid_subject', 'sub is not a string')
  return refuseAs('credential.invalid_subject', 'sub is not a SPIFFE ID', () => trustDomainOf(parseSpiffeId(sub)))
}
