import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { AttestationResult } from 'aims/attestation'
import { parseTrustDomain } from 'aims/identifiers'
import { parseEntry, type RegistrationEntry } from 'aims/provisioning'
import { createIdentityCache, type IdentityCache } from './identity-cache.ts'
import type { ServerClient } from './server-client.ts'
import type { WorkloadIdentity } from './workload-backend.ts'

const trustDomain = parseTrustDomain('example.com')
const START = 1_800_000_000
const WINDOW = 10
const COUNT = 40
const attestation: AttestationResult = {
  type: 'unix',
  selectors: ['unix:uid:1000'],
  verifiedAt: START,
  binding: 'channel',
  freshness: 'live',
  debug: false,
  warnings: [],
  attributes: {},
}
const entries = Array.from({ length: COUNT }, (_, index): RegistrationEntry => {
  const [spiffeId, selectors] = [`spiffe://example.com/${index}`, attestation.selectors]
  return parseEntry({ id: `${index}`, spiffeId, selectors, credentialTypes: ['x509-svid'] }, { trustDomain })
})

/** A cache, the workloads that use it, and an authority that may fall: `old` signs until then, and `new` after. */
class World {
  now = START
  isTainted = false
  isRevoked = false
  isDue = false
  issued = 0
  looks = 0
  readonly shown = new Map<RegistrationEntry, WorkloadIdentity>()
  readonly cache: IdentityCache
  readonly #time: TestContext['mock']['timers']

  constructor(t: TestContext) {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    this.#time = t.mock.timers
    const never = (): never => assert.fail('nobody asks for this')
    const server: ServerClient = {
      sync: never,
      issueWit: never,
      issueJwt: never,
      issueX509: async () => {
        this.issued += 1
        return { certificates: [], expiresAt: this.now + 3600, signer: this.isTainted ? 'new' : 'old' }
      },
    }
    let drawn = 0
    this.cache = createIdentityCache({
      server,
      clock: () => this.now,
      due: () => {
        this.isDue = true
      },
      random: () => (drawn++ % COUNT) / COUNT,
      stands: (signer) => signer === 'new' || !this.isTainted,
      replaceWithin: () => (this.isRevoked ? 0 : WINDOW),
    })
  }

  /** As the streams do, one round after the other: those whose identity is not current ask again. */
  async look(): Promise<void> {
    for (const [entry, identity] of this.shown) {
      if (this.cache.isCurrent(entry, identity)) continue
      this.looks += 1
      this.shown.set(entry, await this.cache.identity(entry, attestation))
    }
  }

  async showAll(): Promise<void> {
    for (const entry of entries) this.shown.set(entry, await this.cache.identity(entry, attestation))
  }

  async pass(seconds: number): Promise<void> {
    for (let step = 0; step < seconds * 10; step += 1) {
      this.now += 0.1
      this.#time.tick(100)
      await turn()
      for (; this.isDue; await turn()) {
        this.isDue = false
        await this.look()
      }
    }
  }
}

test('after a taint each workload is looked at in its turn, and not whenever another one is replaced', async (t) => {
  const world = new World(t)
  await world.showAll()
  world.isTainted = true
  // The bundle has changed: all are looked at, and have their turns from here on.
  await world.showAll()
  const waiting = 2 * COUNT - world.issued
  assert.ok(waiting > COUNT / 2)
  await world.pass(WINDOW + 1)
  assert.equal(world.issued, 2 * COUNT)
  // One for each that is replaced. Every look is an attestation of the workload.
  assert.equal(world.looks, waiting)
})

test('who was not looked at when the authority fell has a turn as well, in time', async (t) => {
  const world = new World(t)
  await world.showAll()
  world.isTainted = true
  for (const [entry, identity] of world.shown) {
    const isFirst = entry === entries[0]
    // The first one has its turn at once.
    assert.equal(world.cache.isCurrent(entry, identity), !isFirst, entry.id)
  }
  await world.pass(WINDOW / 2)
  assert.ok(world.issued > COUNT && world.issued < 2 * COUNT, `${world.issued}`)
  await world.pass(WINDOW / 2 + 1)
  assert.equal(world.issued, 2 * COUNT)
})

test('a revocation does not wait for the turn', async (t) => {
  const world = new World(t)
  await world.showAll()
  world.isTainted = true
  await world.showAll()
  world.isRevoked = true
  const stale = [...world.shown].filter(([entry, identity]) => !world.cache.isCurrent(entry, identity))
  // All but those whose turn was at once.
  assert.equal(stale.length, 2 * COUNT - world.issued)
  await world.look()
  assert.equal(world.issued, 2 * COUNT)
  assert.ok([...world.shown].every(([entry, identity]) => world.cache.isCurrent(entry, identity)))
})
