import { createHash } from 'node:crypto'
import { findCedarProblems, loadCedar } from '../authorization/cedar.ts'
import type { PolicySource } from '../authorization/engine.ts'
import { SCHEMA_VERSION } from '../authorization/schema.ts'
import { AimsError } from '../base/errors.ts'
import { formatPolicyProblem, type PolicyProblem, positionsIn } from './problem.ts'
import { splitPolicies } from './split.ts'

/** One file of policies, as written. The same bytes are stored, hashed and evaluated. */
export interface PolicyFile {
  /** A plain name such as `agents.cedar`. */
  readonly name: string
  readonly text: string
}

/** One policy of a set. */
export interface Policy {
  /** From `@id("...")`, otherwise `file:line`. Unique in its set. */
  readonly id: string
  readonly file: string
  /** Where it starts, from 1. */
  readonly line: number
  readonly text: string
  readonly effect: 'permit' | 'forbid'
  /** E.g. `owner` for `@owner("...")`. Without prototype. */
  readonly annotations: { readonly [name: string]: string }
}

/** Policies that are valid under the AIMS schema. Only {@link parsePolicySet} makes one. */
export interface PolicySet extends PolicySource {
  /** `sha256:` and the base64url hash of the schema version and of every file's name and text. */
  readonly version: string
  readonly schemaVersion: string
  readonly policies: readonly Policy[]
}

const MAX_FILES = 1000
const MAX_FILE = 1024 * 1024
const MAX_POLICIES = 10_000
const ID = /^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}$/

/**
 * Reads policy files into a set, strictly: one problem anywhere, and nothing loads.
 *
 * A set without policies is valid and denies everything. Does not look at what the policies permit.
 *
 * @throws {@link AimsError} `policy.invalid`, `.invalid_id`, `.duplicate_id` with file, line and column of the first
 * problem ({@link findPolicyProblems} lists all); `.too_large`; `authorization.engine_unavailable`
 * @see rules P1 and P2 of the threat model; AIMS, section "Agent Policy"
 */
export async function parsePolicySet(files: readonly PolicyFile[]): Promise<PolicySet> {
  const { policies, problems } = await readPolicies(files)
  const [first, ...others] = problems
  if (first !== undefined) {
    const more = others.length === 0 ? '' : ` (and ${others.length} more)`
    throw new AimsError(first.code, formatPolicyProblem(first) + more)
  }
  return { version: versionOf(files), schemaVersion: SCHEMA_VERSION, policies }
}

/**
 * Lists everything that is wrong with policy files, in the order of the files; empty when they form a set.
 *
 * @throws {@link AimsError} `policy.too_large`, `authorization.engine_unavailable`
 */
export async function findPolicyProblems(files: readonly PolicyFile[]): Promise<readonly PolicyProblem[]> {
  return (await readPolicies(files)).problems
}

interface Located {
  readonly text: string
  readonly file: string
  /** The place of a character of the text. */
  readonly at: (index: number) => Pick<PolicyProblem, 'file' | 'line' | 'column'>
}

async function readPolicies(
  files: readonly PolicyFile[],
): Promise<{ readonly policies: readonly Policy[]; readonly problems: readonly PolicyProblem[] }> {
  const cedar = await loadCedar()
  const located = locatePolicies(files)
  const found = Map.groupBy(
    findCedarProblems(
      cedar,
      located.map((policy) => ({ id: policy, text: policy.text })),
    ),
    ({ policyId }) => policyId,
  )
  const policies: Policy[] = []
  const problems: PolicyProblem[] = []
  const ids = new Set<string>()
  for (const policy of located) {
    const { text, file, at } = policy
    const here = at(0)
    const wrong = found.get(policy) ?? []
    for (const { offset, message } of wrong) {
      problems.push({ code: 'policy.invalid', ...at(indexOfByte(text, offset)), message })
    }
    const json = wrong.length > 0 ? undefined : cedar.policyToJson(text)
    if (json?.type !== 'success') continue
    const { effect, annotations } = json.json
    const id = annotations?.id ?? `${file}:${here.line}`
    if (annotations?.id !== undefined && !ID.test(id)) {
      problems.push({ code: 'policy.invalid_id', ...here, message: 'the @id is not usable as a name' })
    } else if (ids.has(id)) {
      problems.push({ code: 'policy.duplicate_id', ...here, message: 'an earlier policy has the same id' })
    }
    ids.add(id)
    policies.push({ id, file, line: here.line, text, effect, annotations: withoutPrototype(annotations ?? {}) })
  }
  return { policies, problems }
}

function locatePolicies(files: readonly PolicyFile[]): readonly Located[] {
  requireSize(files.length <= MAX_FILES, `more than ${MAX_FILES} policy files`)
  const located = inOrder(files).flatMap(({ name: file, text: content }): readonly Located[] => {
    requireSize(content.length <= MAX_FILE, `a policy file is larger than ${MAX_FILE} characters`)
    const position = positionsIn(content)
    return splitPolicies(content).map(({ text, start }) => ({
      text,
      file,
      at: (index) => ({ file, ...position(start + index) }),
    }))
  })
  requireSize(located.length <= MAX_POLICIES, `more than ${MAX_POLICIES} policies`)
  return located
}

// The order of names by code unit, not by locale: the same files give the same set everywhere.
function inOrder(files: readonly PolicyFile[]): readonly PolicyFile[] {
  const sorted = files.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  if (new Set(sorted.map(({ name }) => name)).size !== sorted.length) {
    throw new TypeError('two policy files have the same name')
  }
  return sorted
}

// Each part is preceded by its length: no two different sets have the same bytes.
function versionOf(files: readonly PolicyFile[]): string {
  const hash = createHash('sha256')
  for (const part of [
    'aims-policy-set-v1',
    SCHEMA_VERSION,
    ...inOrder(files).flatMap(({ name, text }) => [name, text]),
  ]) {
    const bytes = Buffer.from(part)
    const length = Buffer.alloc(8)
    length.writeBigUInt64BE(BigInt(bytes.length))
    hash.update(length).update(bytes)
  }
  return `sha256:${hash.digest('base64url')}`
}

function requireSize(fits: boolean, message: string): void {
  if (!fits) throw new AimsError('policy.too_large', message)
}

// Cedar counts bytes, editors count characters.
function indexOfByte(text: string, offset: number): number {
  return Buffer.from(text).subarray(0, offset).toString().length
}

function withoutPrototype(annotations: { readonly [name: string]: string | null }): {
  readonly [name: string]: string
} {
  const copy: { [name: string]: string } = Object.create(null)
  for (const [name, value] of Object.entries(annotations)) copy[name] = value ?? ''
  return copy
}
