// What a caller has open ends when its credential counts no more: behind each adapter, over real sockets.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createAuthenticator, createMemoryReplayStore } from 'aims/authentication'
import { type AuditEvent, systemClock } from 'aims/base'
import { holdRevocations, type Revocation, signRevocationList } from 'aims/credentials'
import { AUDIENCE, testDomain } from '../support/identities.ts'
import { type OpenStream, STREAM_SERVERS, STREAM_SERVICE, type StreamServer } from '../support/open-streams.ts'

const now = Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now })
const { trustDomain } = domain.bundle
const [alice, helper, bob] = await Promise.all([
  domain.wit({ path: '/agent/alice' }),
  domain.wit({ path: '/agent/alice/sub/helper', rights: [`GET ${STREAM_SERVICE}`] }),
  domain.wit({ path: '/agent/bob' }),
])
const MAX_STALENESS = 600
const closers: (() => unknown)[] = []
after(async () => {
  for (const close of closers) await close()
})

/** How each ends, where the client can be told more than that it is over. */
const TOLD: { readonly [name: string]: string } = {
  ws: '1008 authentication.ended',
  'ws behind a sidecar': '1006',
  grpc: 'UNAUTHENTICATED authentication.ended',
  http2: 'reset 8',
}

function service() {
  let ahead = 0
  let sequence = 0
  const events: AuditEvent[] = []
  const held = holdRevocations({ trustDomain, bundles: domain.bundles, maxStaleness: MAX_STALENESS })
  const authenticator = createAuthenticator({
    bundles: domain.bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: { record: async (event) => void events.push(event) },
    revocations: held,
    clock: () => systemClock() + ahead,
  })
  return {
    authenticator,
    async revoke(...revocations: readonly Revocation[]) {
      sequence += 1
      held.accept(await signRevocationList({ trustDomain, sequence, issuedAt: now, revocations }, domain.signer), now)
    },
    wait(seconds: number) {
      ahead += seconds
    },
    ends: () =>
      events
        .filter(({ type }) => type === 'authentication.ended')
        .map(({ agent, reasons }) => [agent?.id, reasons?.[0]]),
  }
}

// Sent until it arrives: a client may be told that it is let in before its handler is.
async function arrives(sent: string, server: StreamServer, { piece }: OpenStream): Promise<void> {
  const again = setInterval(() => server.send(sent), 50)
  try {
    while (!(await piece()).includes(sent));
  } finally {
    clearInterval(again)
  }
}

for (const [name, start] of Object.entries(STREAM_SERVERS)) {
  // [authentication.aims.06]
  test(`${name}: what is open ends for who was revoked, and for all when the list is stale`, {
    timeout: 120_000,
  }, async () => {
    const { authenticator, revoke, wait, ends } = service()
    await revoke()
    const server = await start(authenticator)
    closers.push(server.close)
    const hers = await server.open(alice)
    const below = await server.open(helper)
    const his = await server.open(bob)
    for (const one of [hers, below, his]) await arrives('a', server, one)

    await revoke({ type: 'subject', value: alice.subject, before: now + 1, expiresAt: now + 3600 })
    assert.equal(await hers.ended, TOLD[name] ?? 'broken off')
    assert.equal(await below.ended, TOLD[name] ?? 'broken off')
    assert.deepEqual(ends().sort(), [
      [alice.subject, 'credential.revoked'],
      [helper.subject, 'credential.revoked'],
    ])
    await arrives('b', server, his)
    await assert.rejects(openNow(server), name === 'grpc' ? /ended/ : /./)

    wait(MAX_STALENESS + 1)
    assert.equal(await his.ended, TOLD[name] ?? 'broken off')
    assert.deepEqual(ends().at(-1), [bob.subject, 'credential.revocation_unknown'])
  })
}

// A new one of who was revoked.
async function openNow(server: StreamServer): Promise<void> {
  const { ended } = await server.open(alice)
  throw new Error(`ended ${await ended}`)
}
