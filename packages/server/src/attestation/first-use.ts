import type { Appraisal } from 'aims/attestation'
import { compareAssurance } from 'aims/attestation'
import { AimsError, type Observer } from 'aims/base'
import type { AttestedThing, AttestedThings } from '../store/attested-things.ts'
import { lowered } from './evidence-events.ts'
import type { ProvenEvidence } from './evidence-session.ts'

/** The identity that evidence was shown for. */
export interface AttestedIdentity {
  /** Of its entry or agent. */
  readonly id: string
  readonly spiffeId: string
  /** Of its entry: after a change of the entry other evidence may be as good. */
  readonly revision: number
}

/** How long a statement without an end is remembered, in seconds. */
const STATEMENT_MEMORY = 7 * 86_400

/**
 * Refuses who took another's place or got weaker, and returns what to do once it is all recorded: it remembers, and
 * refuses whoever was overtaken meanwhile.
 *
 * @throws {@link AimsError} `attestation.taken`, `.assurance_lowered`, `.replayed`
 */
export async function firstUse(
  { evidence, thumbprint, previous }: ProvenEvidence,
  identity: AttestedIdentity,
  { assurance }: Appraisal,
  context: {
    readonly things: AttestedThings
    readonly observer: Observer
    readonly now: number
    readonly correlationId: string
  },
): Promise<() => Promise<void>> {
  const { things, observer, now, correlationId } = context
  const { spiffeId, revision } = identity
  const seen: AttestedThing[] = []
  const requireHolder = (thing: AttestedThing): void => {
    if (!thing.isBearer) return
    const before = things.find(thing)
    if (before !== undefined && ![thumbprint, previous].includes(before.thumbprint)) {
      throw new AimsError('attestation.taken', 'another key came first with this evidence')
    }
  }
  for (const { result, attested, statement } of evidence) {
    const isBearer = result.binding === 'none'
    const thing = { type: result.type, attested, spiffeId, isBearer: false }
    if (isBearer) seen.push({ ...thing, isBearer })
    seen.push(thing)
    seen.forEach(requireHolder)
    // Whoever holds a bearer document has all its identities; what was reached is remembered of each by itself.
    const before = things.find(thing)
    if (before?.revision === revision && compareAssurance(assurance, before.assurance) < 0) {
      await observer.record(lowered(identity, before.assurance, assurance, correlationId))
      throw new AimsError('attestation.assurance_lowered', `the evidence reached ${before.assurance} before`)
    }
    if (statement !== undefined) {
      things.useOnce(`${result.type} ${statement}`, result.evidenceNotAfter ?? now + STATEMENT_MEMORY, now)
    }
  }
  return () =>
    things.together(() => {
      // Somebody may have come first while the record was written.
      seen.forEach(requireHolder)
      for (const thing of seen) things.put(thing, { thumbprint, assurance, revision }, now)
    })
}
