import {
  type BundleSource,
  bundleSource,
  emptyBundle,
  PROFILES,
  type Profile,
  parseAnyBundle,
  parsePemChain,
  type TrustBundle,
} from 'aims/credentials'
import { parseTrustDomain, type Scheme, type TrustDomain } from 'aims/identifiers'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../../exit.ts'
import { readInput, readNow } from '../../input.ts'
import { print, type Result, refusal } from '../../output.ts'

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
  const profile = PROFILES.find((name) => name === options.profile)
  if (profile === undefined) throw new UsageError(`--profile takes one of ${PROFILES.join(', ')}`)
  const now = readNow(options.now)
  const clockSkew = Number(options.clockSkew ?? 0)
  if (!(clockSkew >= 0 && clockSkew <= 120)) throw new UsageError('--clock-skew takes 0 to 120 seconds')
  let result: Result
  try {
    result = await verdict({ now, profile, clockSkew })
  } catch (error) {
    result = refusal(error)
  }
  if (!result.ok) process.exitCode = EXIT.negative
  print(result, options.json === true)
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
    return { trustDomain: parseTrustDomain(name), scheme: scheme as Scheme | undefined }
  } catch {
    throw new UsageError('--trust-domain takes a name such as example.com')
  }
}

/** `--bundle`: a SPIFFE bundle, a bundle map, a plain JWK Set, or PEM certificates of the X.509 authorities, as the bundle of the given trust domain. */
export function readBundle(path: string, trustDomain: TrustDomain): TrustBundle {
  const bytes = readInput(path)
  if (!bytes.includes('-----BEGIN')) return parseAnyBundle(bytes, trustDomain)
  return { ...emptyBundle(trustDomain), x509Authorities: parsePemChain(bytes.toString('latin1')) }
}

/**
 * The same as a source for verifiers: it knows this one trust domain. Without a scheme in `--trust-domain` the operator
 * vouches for the one that the subject claims.
 */
export function readBundleSource(path: string, { trustDomain, scheme }: Origin, subject?: unknown): BundleSource {
  const claimed = typeof subject === 'string' && subject.startsWith('wimse:') ? 'wimse' : 'spiffe'
  return bundleSource({ ...readBundle(path, trustDomain), scheme: scheme ?? claimed })
}

/** RFC 3339, whole seconds, UTC. */
export function toTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}
