import {
  type Authenticated,
  appraise,
  type EvidenceContext,
  type EvidenceVerifier,
  type EvidenceVerifiers,
  readAppraisalPolicy,
} from 'aims/attestation'
import { type JsonObject, parseJsonObject, refuseAs } from 'aims/base'
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
import { EVIDENCE_TYPES, type EvidenceType, findEvidenceType } from '../../evidence-types.ts'
import { UsageError } from '../../exit.ts'
import { readInput } from '../../input.ts'
import type { Result } from '../../output.ts'
import { describeResult } from '../verify/evidence.ts'
import { judge } from '../verify/options.ts'

interface Options extends TrustOptions, BindingOptions {
  readonly policy: string
  readonly now?: string
  readonly json?: true
}

/** `aims attest appraise`: several pieces of evidence against the policy of one entry. */
export function defineAppraise(parent: Command): void {
  const command = parent
    .command('appraise')
    .description('hold several pieces of evidence against one appraisal policy, as a server does for an entry')
    .argument('<type=file...>', 'evidence, each with its type')
    .requiredOption('--policy <file>', 'appraisal policy, e.g. {"tpm":{},"require":["tpm"],"assurance":"high"}')
  trustOptions(command)
  bindingOptions(command)
  command
    .option('--now <rfc3339>', 'judge as of this time instead of the clock')
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText(
      'after',
      '\nExample:\n  $ aims attest appraise --policy entry.json tpm=quote.json aws-iid=document.b64 --json',
    )
  command.action((pieces: readonly string[], options: Options) => appraiseAll(pieces, options))
}

interface Piece {
  readonly type: EvidenceType
  readonly evidence: Uint8Array
}

async function appraiseAll(given: readonly string[], options: Options): Promise<void> {
  const pieces = given.map(readPiece)
  const makeVerifier = readTrust(options, true)
  const verifiers: EvidenceVerifiers = new Map(EVIDENCE_TYPES.map((type) => [type.type, makeVerifier(type)]))
  const policy = readAppraisalPolicy(readDocument(options.policy), verifiers)
  const contexts = pieces.map(({ type }) => readExpected(type, options))
  await judge({ ...options, profile: 'wimse' }, async ({ now }): Promise<Result> => {
    const shown: Authenticated[] = []
    const warnings: string[] = []
    for (const [i, { type, evidence }] of pieces.entries()) {
      const context: EvidenceContext = { now, expected: contexts[i] ?? { kind: 'unchecked' } }
      const one = await authenticateGiven(verifiers.get(type.type) as EvidenceVerifier, evidence, context)
      shown.push(one.evidence)
      warnings.push(...one.warnings)
    }
    const { results, selectors, assurance } = appraise(shown, policy, verifiers)
    return { ok: true, assurance, selectors, results: results.map(describeResult), warnings: [...new Set(warnings)] }
  })
}

function readPiece(text: string): Piece {
  const at = text.indexOf('=')
  if (at < 1) throw new UsageError('evidence is given as TYPE=FILE')
  return { type: readType(text.slice(0, at)), evidence: readInput(text.slice(at + 1)) }
}

// The other names of types are taken here as everywhere.
function readDocument(path: string): JsonObject {
  const message = 'the policy is not a JSON object'
  const document = refuseAs('attestation.policy_malformed', message, () => parseJsonObject(readInput(path)))
  const named = Object.entries(document).map(([name, value]) => [findEvidenceType(name)?.type ?? name, value] as const)
  if (new Set(named.map(([name]) => name)).size !== named.length) {
    throw new UsageError('the policy has a type twice, under two of its names')
  }
  return Object.fromEntries(named)
}
