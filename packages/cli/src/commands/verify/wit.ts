import { type KeyRegistry, parseAnyBundle, type VerifiedWit, verifyWit } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import type { Command } from 'commander'
import { readInput, readToken } from '../../input.ts'
import type { Result } from '../../output.ts'
import {
  claimsOf,
  type Judging,
  type JudgingOptions,
  judge,
  judging,
  originOf,
  readBundleSource,
  readOrigin,
  toTime,
} from './options.ts'

/** What is known when a WIT is judged. */
export interface WitOptions extends JudgingOptions {
  readonly bundle: string
  readonly trustDomain: string
  readonly issuer?: string
  readonly witAudience?: string
  readonly confirmationKeys?: string
  readonly svid?: true
}

/** Adds the options that say how a WIT is judged. */
export function witOptions(command: Command): Command {
  return command
    .requiredOption('--bundle <file>', 'SPIFFE bundle, bundle map or JWK Set')
    .requiredOption('--trust-domain <name>', 'the trust domain the bundle belongs to')
    .option('--issuer <uri>', 'the only iss that is accepted')
    .option('--wit-audience <uri>', 'profile aims-00: our own name in the aud of the WIT')
    .option('--confirmation-keys <file>', 'profile aims-00: JWK Set with the keys registered for cnf.kid')
    .option('--svid', 'also apply the stricter rules of WIT-SVID')
}

export function defineWit(parent: Command): void {
  const command = parent
    .command('wit')
    .description('judge a Workload Identity Token (without proof it authenticates nobody)')
  witOptions(command)
    .requiredOption('--token <file>', 'the WIT')
    .option('--audience <uri>', 'profile aims-00: same as --wit-audience')
  judging(command, 'aims verify wit --token wit.jwt --bundle bundle.json --trust-domain example.com')
  command.action((options: WitOptions & { token: string; audience?: string }) =>
    judge(options, (judging): Result => {
      const audience = options.witAudience ?? options.audience
      const given = audience === undefined ? options : { ...options, witAudience: audience }
      const { wit, warnings } = judgeWit(readToken(options.token), given, judging)
      return { ok: true, ...describeWit(wit), warnings }
    }),
  )
}

/** Verifies a WIT with what the command line says, and tells what could not be checked for lack of an option. */
export function judgeWit(
  token: string,
  options: WitOptions,
  { now, profile, clockSkew }: Judging,
): { readonly wit: VerifiedWit; readonly warnings: readonly string[] } {
  const origin = readOrigin(options.trustDomain)
  const { trustDomain } = origin
  const claims = claimsOf(token)
  const bundles = readBundleSource(options.bundle, origin, claims.sub)
  const warnings: string[] = []
  let { issuer, witAudience: audience } = options
  if (profile === 'aims-00') {
    // The shape needs both; an offline judge who was not told them takes the token's own and says so.
    if (issuer === undefined && typeof claims.iss === 'string') {
      issuer = claims.iss
      warnings.push('iss was not compared: pass --issuer')
    }
    const [first] = Array.isArray(claims.aud) ? claims.aud : [claims.aud]
    if (audience === undefined && typeof first === 'string') {
      audience = first
      warnings.push('aud of the WIT was not compared: pass --wit-audience')
    }
  }
  const wit = verifyWit(token, {
    bundles,
    now,
    profile,
    trustDomain,
    clockSkew,
    ...(issuer === undefined && profile !== 'aims-00' ? {} : { issuers: { [trustDomain]: [issuer ?? ''] } }),
    ...(audience === undefined && profile !== 'aims-00' ? {} : { audience: audience ?? UNKNOWN }),
    ...(options.svid === true ? { svid: true } : {}),
    ...(options.confirmationKeys === undefined
      ? {}
      : { confirmationKeys: readRegistry(options.confirmationKeys, trustDomain) }),
  })
  return { wit, warnings }
}

// For a token that names none, and is refused for that: no audience is empty, and none contains a blank.
const UNKNOWN = ' '

/** `--confirmation-keys`: the keys registered for the subject that is judged. */
export function readRegistry(path: string, trustDomain: TrustDomain): KeyRegistry {
  const { witAuthorities: keys } = parseAnyBundle(readInput(path), trustDomain).bundle
  return { find: (_trustDomain, _subject, kid) => keys.get(kid) }
}

/** What a verdict says about a WIT: never the token itself. */
export function describeWit(wit: VerifiedWit): Omit<Result, 'ok'> {
  return {
    subject: wit.subject,
    trustDomain: wit.trustDomain,
    origin: originOf(wit.subject),
    profile: wit.profile,
    issuer: wit.issuer,
    expiresAt: toTime(wit.expiresAt),
    confirmation: { alg: wit.confirmation.alg, thumbprint: wit.confirmation.thumbprint },
  }
}
