import {
  type AttestationResult,
  type Authenticated,
  appraised,
  assuranceOf,
  type EvidenceVerifier,
} from 'aims/attestation'
import { AimsError, isJsonObject, type JsonValue, parseJsonObject, refuseAs } from 'aims/base'
import type { Command } from 'commander'
import {
  authenticateGiven,
  type BindingOptions,
  bindingOptions,
  readExpected,
  readTrust,
  readType,
  type TrustOptions,
  trustOptions,
} from '../../evidence-judging.ts'
import { findEvidenceType } from '../../evidence-types.ts'
import { readInput } from '../../input.ts'
import type { Result } from '../../output.ts'
import { explainedRefusal, judge, toTime } from './options.ts'

interface Options extends TrustOptions, BindingOptions {
  readonly type: string
  readonly evidence: string
  readonly policy?: string
  readonly now?: string
  readonly json?: true
}

/** `aims verify evidence` and `aims attest verify`. */
export function defineEvidence(parent: Command, name: string): void {
  const command = parent
    .command(name)
    .description('judge evidence of a platform: who signed it, what it is bound to, whether the policy takes it')
    .requiredOption('--type <name>', 'kind of evidence; see aims attest types')
    .requiredOption('--evidence <file>', 'what the platform handed out')
  trustOptions(command)
  bindingOptions(command)
  command
    .option('--policy <file>', 'appraisal policy: of the type, or of an entry with the type as member; default strict')
    .option('--now <rfc3339>', 'judge as of this time instead of the clock')
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText(
      'after',
      `\nExample:\n  $ aims ${parent.name()} ${name} --type aws-nitro --evidence document.bin --nonce 00ff --json`,
    )
  command.action((options: Options) => judgeEvidence(options))
}

async function judgeEvidence(options: Options): Promise<void> {
  const type = readType(options.type)
  const evidence = readInput(options.evidence)
  const verifier = readTrust(options)(type)
  const { policy, warnings: notCompared } = readPolicy(options.policy, verifier)
  const expected = readExpected(type, options)
  await judge({ ...options, profile: 'wimse' }, async ({ now }): Promise<Result> => {
    const given = await authenticateGiven(verifier, evidence, { now, expected })
    const verdict = appraisal(verifier, given.evidence, policy)
    const { warnings, ...rest } = describeResult(verdict.result)
    return {
      ...verdict.answer,
      authenticated: true,
      ...rest,
      warnings: [...given.warnings, ...notCompared, ...warnings],
      claims: plainClaims(given.evidence.claims) as Result,
    }
  })
}

// A policy that says no leaves it true who made the evidence, and what it says: both are told apart.
function appraisal(
  verifier: EvidenceVerifier,
  evidence: Authenticated,
  policy: object,
): { readonly answer: Result; readonly result: AttestationResult } {
  try {
    return { answer: { ok: true }, result: appraised(verifier, evidence, policy) }
  } catch (error) {
    return { answer: explainedRefusal(error), result: evidence.result }
  }
}

/** `--policy`: that of the type, or that of an entry, in which it is a member. */
function readPolicy(path: string | undefined, verifier: EvidenceVerifier): Policy {
  if (path === undefined) return { policy: verifier.readPolicy({}), warnings: [] }
  const document = refuseAs('attestation.policy_malformed', 'the policy is not a JSON object', () =>
    parseJsonObject(readInput(path)),
  )
  const types = Object.keys(document).map(findEvidenceType)
  if (!types.some((type) => type !== undefined)) return { policy: verifier.readPolicy(document), warnings: [] }
  let own: JsonValue | undefined = {}
  for (const [name, value] of Object.entries(document)) {
    const type = findEvidenceType(name)?.type
    if (type === verifier.type) own = value
    if (type === undefined && name !== 'require' && name !== 'assurance') throw malformed('an unknown member')
  }
  if (!isJsonObject(own)) throw malformed('no object for this type')
  const isMore = document.require !== undefined || document.assurance !== undefined
  return { policy: verifier.readPolicy(own), warnings: isMore ? [ONE_OF_MANY] : [] }
}

const ONE_OF_MANY = 'require and assurance of the policy were not compared: see aims attest appraise'

interface Policy {
  readonly policy: object
  readonly warnings: readonly string[]
}

function malformed(what: string): AimsError {
  return new AimsError('attestation.policy_malformed', `the policy of an entry has ${what}`)
}

/** What a verdict says of a result. */
export function describeResult(
  result: AttestationResult,
): Omit<Result, 'ok'> & { readonly warnings: readonly string[] } {
  const { type, binding, freshness, hardwareRoot, tcb, debug, selectors, attributes, evidenceNotAfter } = result
  return {
    type,
    binding,
    freshness,
    assurance: assuranceOf(result),
    hardwareRoot,
    tcb,
    debug,
    selectors,
    attributes,
    warnings: result.warnings,
    evidenceNotAfter: evidenceNotAfter === undefined ? undefined : toTime(evidenceNotAfter),
  }
}

// Claims as JSON: bytes in hex.
function plainClaims(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (value instanceof Map) return plainClaims(Object.fromEntries(value))
  if (Array.isArray(value) || value instanceof Set) return [...value].map(plainClaims)
  if (typeof value !== 'object' || value === null) return value
  if (Object.getPrototypeOf(value) !== Object.prototype && Object.getPrototypeOf(value) !== null) return undefined
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plainClaims(member)]))
}
