import { bundleSource, verifyJwtSvid } from 'aims/credentials'
import { isSpiffeId, type TrustDomain, trustDomainOf } from 'aims/identifiers'
import type { Command } from 'commander'
import { UsageError } from '../../exit.ts'
import { readToken } from '../../input.ts'
import type { Result } from '../../output.ts'
import {
  claimsOf,
  type JudgingOptions,
  judge,
  judging,
  originOf,
  readBundleSource,
  readOrigin,
  toTime,
} from './options.ts'

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
        options.trustDomain === undefined ? claimedTrustDomain(token) : spiffeDomain(options.trustDomain)
      const bundles =
        trustDomain === undefined ? bundleSource() : readBundleSource(options.bundle, { trustDomain, scheme: 'spiffe' })
      const svid = verifyJwtSvid(token, {
        bundles,
        audience: options.audience,
        now,
        clockSkew,
        ...(trustDomain === undefined ? {} : { trustDomain }),
      })
      return {
        ok: true,
        subject: svid.subject,
        trustDomain: svid.trustDomain,
        origin: originOf(svid.subject),
        audiences: svid.audiences,
        expiresAt: toTime(svid.expiresAt),
      }
    }),
  )
}

// The operator says by passing the file that he trusts it for this subject: a plain bundle does not name its domain.
// A token without a usable subject is the verifier's to refuse, in the order of its checks.
function claimedTrustDomain(token: string): TrustDomain | undefined {
  const { sub } = claimsOf(token)
  return typeof sub === 'string' && isSpiffeId(sub) ? trustDomainOf(sub) : undefined
}

function spiffeDomain(text: string): TrustDomain {
  const { trustDomain, scheme } = readOrigin(text)
  if (scheme === 'wimse') throw new UsageError('a JWT-SVID has a SPIFFE ID: --trust-domain cannot be wimse://')
  return trustDomain
}
