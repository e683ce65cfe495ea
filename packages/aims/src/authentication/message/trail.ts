import type { Check } from '../../base/check.ts'
import type { AimsError, AimsErrorCode } from '../../base/errors.ts'
import { decodeUnverifiedJws } from '../../base/jose.ts'
import { audienceDifference } from '../refusal/differences.ts'
import { attempt, type RefusalFacts, type RefusingOptions, type Step, textOf } from '../refusal/facts.ts'
import { callerOf, onceStep, peerStep, revocationStep, tokenIdOf } from '../refusal/steps-common.ts'
import { credentialSteps } from '../refusal/steps-credential.ts'
import { isOdd, PROOF_ID_STEP, PROOF_KEY_STEPS, PROOF_WIT_STEP, proofTimes } from '../refusal/steps-proof.ts'
import { walk } from '../refusal/walk.ts'
import { BODY_DIGEST_CLAIM } from '../wpt/body-digest.ts'
import { ENVELOPE_CLAIM, envelopeDigest, headerValues, MESSAGE_FIELDS, type QueuedMessage } from './message.ts'

/** A message that was refused, and what it was judged by. */
export interface RefusedMessage {
  readonly message: QueuedMessage
  readonly topic: string
  readonly nonce: string | undefined
  readonly unboundHeaders: readonly string[]
  readonly options: Pick<RefusingOptions, 'bundles' | 'maxLifetime' | 'revocations'>
  readonly now: number
  readonly error: AimsError
}

interface MessageFacts extends RefusalFacts, Pick<RefusedMessage, 'message' | 'topic' | 'nonce' | 'unboundHeaders'> {}

const CARRIED_STEP: Step<MessageFacts> = {
  check: 'message.headers',
  codes: [
    'authentication.duplicate_field',
    'authentication.missing',
    'authentication.missing_credential',
    'authentication.missing_proof',
  ],
  tell: ({ message }) => ({
    expected: `${MESSAGE_FIELDS.wit} and ${MESSAGE_FIELDS.proof}, each once`,
    observed: namesIn(message, Object.values(MESSAGE_FIELDS)),
    difference: 'message',
  }),
}

// A claim that is not there is noticed when it is its turn.
function lacks(name: string, type: 'string' | 'number'): NonNullable<Step['isIt']> {
  return ({ error: { code }, proof }) => {
    const value = proof?.claims[name]
    if (code === 'proof.missing_claim') return value === undefined
    return code !== 'proof.invalid_claim' || isOdd(value, type)
  }
}

const CLAIM: readonly AimsErrorCode[] = ['proof.missing_claim', 'proof.invalid_claim']

/** The checks of what the proof says of its message, in the order in which they are made. */
const BINDING_STEPS: readonly Step<MessageFacts>[] = [
  {
    check: 'proof.topic',
    codes: ['proof.audience_mismatch', ...CLAIM],
    isIt: lacks('aud', 'string'),
    tell: ({ proof, topic }) => {
      const aud = textOf(proof?.claims.aud)
      const isSpelling = audienceDifference(aud, [topic]) === 'spelling'
      return { expected: topic, observed: aud, difference: isSpelling ? 'spelling' : 'topic' }
    },
  },
  {
    check: 'proof.times',
    codes: ['proof.expired', 'proof.not_yet_valid', 'proof.lifetime_too_long', ...CLAIM],
    isIt: (facts) => lacks('iat', 'number')(facts) || lacks('exp', 'number')(facts),
    tell: (facts) => {
      const told = proofTimes(facts)
      return told.difference === 'late' ? { ...told, difference: 'waited' } : told
    },
  },
  { ...PROOF_WIT_STEP, codes: ['proof.wit_mismatch', ...CLAIM], isIt: lacks('wth', 'string') },
  {
    ...PROOF_ID_STEP,
    codes: CLAIM,
    isIt: (facts) => lacks('jti', 'string')(facts) || PROOF_ID_STEP.isIt?.(facts) === true,
  },
  {
    check: 'proof.nonce',
    codes: ['proof.nonce_mismatch'],
    isMade: ({ nonce }) => nonce !== undefined,
    tell: ({ proof }) => ({
      expected: 'the nonce that was given out for this message',
      observed: proof?.claims.nonce === undefined ? 'no nonce' : 'a nonce',
    }),
  },
  {
    check: 'proof.payload',
    codes: ['proof.body_mismatch', ...CLAIM],
    isIt: lacks(BODY_DIGEST_CLAIM, 'string'),
    tell: ({ proof, error }) => ({
      expected: textOf(proof?.claims[BODY_DIGEST_CLAIM]),
      ...(error.observed === undefined ? {} : { observed: error.observed }),
      difference: 'payload',
    }),
  },
  {
    check: 'proof.envelope',
    codes: ['proof.envelope_mismatch', ...CLAIM],
    isIt: lacks(ENVELOPE_CLAIM, 'string'),
    tell: ({ proof, message, unboundHeaders }) => ({
      expected: textOf(proof?.claims[ENVELOPE_CLAIM]),
      observed: `${envelopeDigest(message, unboundHeaders)} of ${partsOf(message, unboundHeaders)}`,
    }),
  },
]

const STEPS: readonly Step<MessageFacts>[] = [
  CARRIED_STEP,
  ...credentialSteps('wit', 'witAuthorities').map((step) =>
    step.check === 'wit.times' ? differing(step, 'waited') : step,
  ),
  ...PROOF_KEY_STEPS,
  ...BINDING_STEPS,
  peerStep(callerOf),
  revocationStep(tokenIdOf),
  differing(
    onceStep('proof.once', 'proof.replayed', ({ proof }) => `jti ${textOf(proof?.claims.jti)}`),
    'message',
  ),
]

/** The checks behind the refusal of a message, in their order, the last of them failed. Made only when one was refused. */
export function messageTrailOf(refused: RefusedMessage): readonly Check[] {
  const { message, topic, options } = refused
  const [wit] = headerValues(message, MESSAGE_FIELDS.wit)
  const [proof] = headerValues(message, MESSAGE_FIELDS.proof)
  return walk(STEPS, {
    ...refused,
    request: { method: 'consume', target: topic, headers: [] },
    options: { audiences: [topic], ...options },
    accepted: ['wit+wpt'],
    binding: {},
    carried: undefined,
    credential: wit === undefined ? undefined : attempt(() => decodeUnverifiedJws(wit)),
    proof: proof === undefined ? undefined : attempt(() => decodeUnverifiedJws(proof)),
    leaf: undefined,
  })
}

// What differs between a request and a message that has waited in a broker.
function differing(step: Step, difference: string): Step {
  return { ...step, tell: (facts) => ({ ...step.tell?.(facts), difference }) }
}

function partsOf(message: QueuedMessage, unbound: readonly string[]): string {
  const { headers = [], key = null, replyTo = null } = message
  const fields: readonly string[] = Object.values(MESSAGE_FIELDS)
  const bound = headers
    .map(([name]) => name.toLowerCase())
    .filter((name) => !fields.includes(name) && !unbound.includes(name))
  return [...bound, key === null ? 'no key' : 'key', replyTo === null ? 'no reply address' : 'reply address'].join(', ')
}

function namesIn({ headers = [] }: QueuedMessage, wanted: readonly string[]): string {
  const found = headers.map(([name]) => name.toLowerCase()).filter((name) => wanted.includes(name))
  return found.length === 0 ? 'neither of them' : found.join(', ')
}
