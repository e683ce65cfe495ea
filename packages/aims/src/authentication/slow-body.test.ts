import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AUDIENCE, NOW, testDomain } from '../../../../test/support/identities.ts'
import { noObserver } from '../base/event.ts'
import { createAuthenticator } from './authenticate.ts'
import type { RawHeaders } from './carriage.ts'
import { signRequest } from './http-signature/sign.ts'
import type { ReplayStore } from './replay/replay-store.ts'
import { proofHeaders } from './wpt/create.ts'

const domain = testDomain()
const wit = await domain.wit()
const body = Buffer.from('{"amount":1}')
const REQUEST = { method: 'POST', target: '/transfers', audience: AUDIENCE, body }
const ENDS = NOW + 60

const CARRIED: readonly (readonly [string, string, (holder: typeof wit) => RawHeaders])[] = [
  [
    'wit+wpt',
    'proof.expired',
    (holder) => Object.entries(proofHeaders(holder, REQUEST, { now: NOW, lifetime: ENDS - NOW })),
  ],
  [
    'http-signature',
    'signature.expired',
    (holder) => {
      const given = { ...REQUEST, headers: [], signResponse: false }
      return Object.entries(signRequest(holder, given, { now: NOW, lifetime: ENDS - NOW }).headers)
    },
  ],
]

/** Sends once, and takes the body so long that the clock shows `arrives` when it is there. */
async function sent(headers: RawHeaders, arrives: number) {
  let now = NOW
  const uses: (readonly [expiresAt: number, now: number])[] = []
  const replays: ReplayStore = {
    consume(_key, expiresAt, at) {
      uses.push([expiresAt, at])
      return true
    },
    isFresh: () => true,
  }
  const authenticator = createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays,
    observer: noObserver,
    clock: () => now,
  })
  const read = async (): Promise<Uint8Array> => {
    now = arrives
    return body
  }
  const answer = authenticator.authenticate({ method: 'POST', target: '/transfers', headers, body: read })
  return { answer, uses }
}

for (const [method, code, carry] of CARRIED) {
  test(`${method}: a store is asked with the time when the body was there`, async () => {
    const { answer, uses } = await sent(carry(wit), ENDS - 1)
    assert.equal((await answer).covers.body, true)
    assert.deepEqual(uses, [[ENDS + 30, ENDS - 1]])
  })

  // A store may forget what it has used up when that has expired: a replay would wait for it with its body.
  test(`${method}: a body that comes after the proof has expired is too late, and nothing is used up`, async () => {
    for (const late of [ENDS, ENDS + 91]) {
      const { answer, uses } = await sent(carry(wit), late)
      await assert.rejects(answer, { code })
      assert.deepEqual(uses, [])
    }
  })

  test(`${method}: a body that comes after the WIT has expired is too late`, async () => {
    const short = await domain.wit({ ttl: 20 })
    const { answer, uses } = await sent(carry(short), NOW + 50)
    await assert.rejects(answer, { code: 'credential.expired' })
    assert.deepEqual(uses, [])
  })
}
