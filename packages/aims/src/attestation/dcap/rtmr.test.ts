import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { DCAP_NOW, makeCollateral, makeDcapPki, makeQuote } from '../../../../../test/support/dcap-pki.ts'
import { ccelEvent, makeCcel } from '../../../../../test/support/event-log.ts'
import type { JsonObject } from '../../base/json.ts'
import { attestEvidence } from '../evidence.ts'
import { tdxVerifier } from './tdx.ts'

const pki = makeDcapPki()
const extend = (...bytes: readonly number[]) =>
  bytes.reduce(
    (value, byte) => createHash('sha384').update(value).update(Buffer.alloc(48, byte)).digest(),
    Buffer.alloc(48),
  )
const EVENTS = [ccelEvent(1, 1), ccelEvent(2, 2), ccelEvent(1, 3), ccelEvent(0, 9, 3), ccelEvent(4, 4)]
// RTMR0, 1, 3 extended; RTMR2 never.
const BODY = { 328: extend(1, 3), 376: extend(2), 424: Buffer.alloc(48), 472: extend(4) }

const attest = (
  eventLog: Uint8Array | undefined,
  policy: JsonObject = {},
  body: Readonly<Record<number, Uint8Array>> = BODY,
) => {
  const verifier = tdxVerifier({ collateral: makeCollateral('tdx', pki), roots: new Set([pki.root.fingerprint]) })
  const evidence = {
    quote: makeQuote('v4', pki, { body }).toString('base64'),
    ...(eventLog === undefined ? {} : { eventLog: Buffer.from(eventLog).toString('base64') }),
  }
  const context = { now: DCAP_NOW, expected: { kind: 'unchecked' } } as const
  return attestEvidence(verifier, Buffer.from(JSON.stringify(evidence)), context, verifier.readPolicy(policy))
}
const digest = (byte: number) => Buffer.alloc(48, byte).toString('hex')

describe('the event log of a TDX guest', () => {
  test('that leads to the RTMRs is accepted, with the events a policy requires', async () => {
    await attest(makeCcel(EVENTS), { requiredEvents: [digest(3), digest(4)] })
    await attest(Buffer.concat([makeCcel(EVENTS), Buffer.alloc(512, 0xff)]))
  })

  for (const [title, log] of [
    ['an event is missing', EVENTS.slice(1)],
    ['events have changed places', EVENTS.toReversed()],
    ['an event is added', [...EVENTS, ccelEvent(3, 5)]],
    ['a digest is another', EVENTS.with(1, ccelEvent(2, 8))],
    ['an event goes to another register', EVENTS.with(1, ccelEvent(3, 2))],
    ['an event goes to a register that does not exist', [...EVENTS, ccelEvent(5, 5)]],
    ['it is empty', []],
  ] as const) {
    test(`is refused when ${title}: inconsistent`, async () => {
      await assert.rejects(attest(makeCcel(log)), { code: 'attestation.inconsistent' })
    })
  }

  test('cannot make a digest required that was not measured, or that extends nothing', async () => {
    for (const byte of [7, 9]) {
      await assert.rejects(attest(makeCcel(EVENTS), { requiredEvents: digest(byte) }), {
        code: 'attestation.measurement_mismatch',
      })
    }
    await assert.rejects(attest(undefined, { requiredEvents: digest(3) }), {
      code: 'attestation.measurement_mismatch',
    })
  })

  test('that is no log is refused', async () => {
    await assert.rejects(attest(Buffer.from('log')), { code: 'attestation.malformed' })
  })
})
