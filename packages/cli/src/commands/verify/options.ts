import { AimsError } from 'aims/base'
import {
  type BundleSource,
  bundleSource,
  decodeUnverifiedWit,
  decodeUnverifiedX509Svid,
  emptyBundle,
  type ParsedBundle,
  PROFILES,
  type Profile,
  parseAnyBundle,
  parsePemChain,
  splitDerChain,
} from 'aims/credentials'
import {
  parseTrustDomain,
  type Scheme,
  schemeOf,
  type TrustDomain,
  trustDomainOf,
  type WorkloadId,
} from 'aims/identifiers'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../../exit.ts'
import { readInput, readNow, readProfile } from '../../input.ts'
import { print, type Result, refusal } from '../../output.ts'
import { hintFor } from './hints.ts'

/** Options that every judging command takes. */
export interface JudgingOptions {
  readonly now?: string
  readonly profile?: string
  readonly clockSkew?: string
  readonly json?: true
}

/** What every judging command starts from. */
export interface Judging {
  readonly now: number
  readonly profile: Profile
  /** Seconds by which iat and nbf may be ahead. */
  readonly clockSkew: number
}

/** Adds `--now`, `--profile` and `--json`, and an example to the help. */
export function judging(command: Command, example: string): Command {
  return command
    .option('--now <rfc3339>', 'judge as of this time instead of the clock')
    .option('--profile <name>', `one of ${PROFILES.join(', ')}`, 'wimse')
    .option('--clock-skew <seconds>', 'how far iat and nbf may be ahead of the time of judgement, at most 120', '0')
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText('after', `\nExample:\n  $ ${example}`)
}

/** Runs a verdict and prints it: a refusal is an answer (exit code 1), not a failure. */
export async function judge(
  options: JudgingOptions,
  verdict: (judging: Judging) => Result | Promise<Result>,
): Promise<void> {
  const profile = readProfile(options.profile)
  const now = readNow(options.now)
  const clockSkew = Number(options.clockSkew ?? 0)
  if (!(clockSkew >= 0 && clockSkew <= 120)) throw new UsageError('--clock-skew takes 0 to 120 seconds')
  let result: Result
  try {
    result = await verdict({ now, profile, clockSkew })
  } catch (error) {
    result = explainedRefusal(error)
  }
  if (!result.ok) process.exitCode = EXIT.negative
  print(result, options.json === true)
}

/** A refusal with what to change. Anything but a refusal is thrown on. */
export function explainedRefusal(error: unknown): Result {
  const refused = refusal(error)
  const hint = hintFor(String(refused.code))
  return hint === undefined ? refused : { ...refused, hint }
}

/** What `--trust-domain` says: a name, for identifiers of either scheme, or an origin such as `wimse://example.com`. */
export interface Origin {
  readonly trustDomain: TrustDomain
  readonly scheme: Scheme | undefined
}

/** `--trust-domain`, wrong use when it is no trust domain. */
export function readOrigin(text: string): Origin {
  const [, scheme, name = ''] = /^(?:(spiffe|wimse):\/\/)?(.*)$/s.exec(text) ?? []
  try {
    if (name.includes('://')) throw new UsageError()
    return { trustDomain: parseTrustDomain(name), scheme: scheme as Scheme | undefined }
  } catch {
    throw new UsageError('--trust-domain takes a name or an origin, such as example.com or wimse://example.com')
  }
}

/** Scheme and trust domain of a subject: what the bundle had to be bound to. */
export function originOf(subject: WorkloadId): string {
  return `${schemeOf(subject)}://${trustDomainOf(subject)}`
}

/**
 * `--bundle`: a SPIFFE bundle, a bundle map, a JWK Set, a single JWK, or certificates of the X.509 authorities in PEM or
 * DER, as the bundle of the given trust domain.
 */
export function readBundle(path: string, trustDomain: TrustDomain): ParsedBundle {
  const bytes = readInput(path)
  const isPem = bytes.includes('-----BEGIN')
  if (!isPem && bytes[0] !== DER_SEQUENCE) return parseAnyBundle(bytes, trustDomain)
  const x509Authorities = isPem ? parsePemChain(bytes.toString('latin1')) : splitDerChain(bytes)
  // Of several authorities one that cannot be read would only be missed when it is needed.
  for (const der of x509Authorities) decodeUnverifiedX509Svid([der])
  return { bundle: { ...emptyBundle(trustDomain), x509Authorities }, warnings: [] }
}

// No JSON begins with it: it is the digit zero.
const DER_SEQUENCE = 0x30

/**
 * The same as a source for verifiers: it knows this one trust domain. Without a scheme in `--trust-domain` the operator
 * vouches for the one that the subject claims.
 */
export function readBundleSource(path: string, { trustDomain, scheme }: Origin, subject?: unknown): BundleSource {
  const claimed = typeof subject === 'string' && subject.startsWith('wimse:') ? 'wimse' : 'spiffe'
  return bundleSource({ ...readBundle(path, trustDomain).bundle, scheme: scheme ?? claimed })
}

/** What a token says about itself before anything is verified, or nothing when it cannot be read: the verifier says so. */
export function claimsOf(token: string): { readonly [name: string]: unknown } {
  try {
    return decodeUnverifiedWit(token).claims
  } catch (error) {
    if (AimsError.is(error)) return {}
    throw error
  }
}

/** For options that may be given several times. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value]
}

/** `--audience`: our own URIs. */
export interface OwnUris {
  readonly audiences: readonly string[]
  /** Those that are no more than scheme and authority: under them every target URI is ours. */
  readonly origins: readonly string[]
}

/** Audiences are compared without query and fragment. @see draft-ietf-wimse-wpt-02, on `aud` */
export function readOwnUris(given: readonly string[]): OwnUris {
  const audiences = given.flatMap((uri) => [uri, uri.replace(/[?#].*$/s, '')])
  if (audiences.includes('')) throw new UsageError('--audience takes our own URI')
  return { audiences: [...new Set(audiences)], origins: given.filter((uri) => ORIGIN.test(uri)) }
}

const ORIGIN = /^https?:\/\/[^/?#]+$/

/** RFC 3339, whole seconds, UTC. */
export function toTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}
