import assert from 'node:assert/strict'
import { createPublicKey, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { AimsError, type AuditEvent, keyEncryptionKey, WorkloadKey } from 'aims/base'
import { serializeBundle } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { openStore } from '../../store/database.ts'
import { openKeyStore } from '../../store/key-store.ts'
import { openMeta } from '../../store/meta.ts'
import { openSeal } from '../../store/seal.ts'
import { openAuthorities } from '../authorities.ts'
import type { AuthoritiesOptions } from '../authority-types.ts'
import type { ConfiguredManager } from './configured.ts'
import type { KeyManager, ManagedAlgorithm } from './key-manager.ts'

const trustDomain = parseTrustDomain('example.com')
const actor = { name: 'unix:uid:0', method: 'unix', correlationId: 'c1' }

// A manager in memory, and what can go wrong with one.
class FakeManager implements KeyManager {
  readonly name: string = 'fake'
  algorithms: readonly ManagedAlgorithm[] = ['ES256']
  readonly keys = new Map<string, WorkloadKey>()
  fault: 'none' | 'away' | 'silent' | 'wrong signature' | 'short signature' | 'wrong form' = 'none'
  isDestroying = true

  async generate(): ReturnType<KeyManager['generate']> {
    if (this.fault === 'away') throw new AimsError('operation.key_manager_unavailable', 'away')
    const key = WorkloadKey.generate('ES256')
    this.keys.set(key.kid, key)
    return { reference: key.kid, publicKey: key.publicKey }
  }

  async sign(reference: string, _: ManagedAlgorithm, data: Uint8Array): Promise<Uint8Array> {
    const key = this.keys.get(reference)
    if (this.fault === 'silent') await new Promise((resolve) => setTimeout(resolve, 200).unref())
    if (this.fault === 'away') throw new AimsError('operation.key_manager_unavailable', 'away')
    if (key === undefined) throw new AimsError('operation.key_manager_refused', 'gone')
    if (this.fault === 'wrong signature') return WorkloadKey.generate('ES256').sign(data)
    if (this.fault === 'short signature') return key.sign(data).subarray(1)
    return this.fault === 'wrong form' ? key.signDer(data) : key.sign(data)
  }

  async publicKey(reference: string): ReturnType<KeyManager['publicKey']> {
    return createPublicKey(this.keys.get(reference)?.tlsKey ?? '')
  }

  async list(): Promise<readonly string[]> {
    return [...this.keys.keys()]
  }

  async destroy(reference: string): Promise<void> {
    if (!this.isDestroying) throw new AimsError('operation.key_manager_unavailable', 'away')
    this.keys.delete(reference)
  }

  async close(): Promise<void> {}
}

function world() {
  const db = openStore(':memory:')
  const meta = openMeta(db)
  const kek = keyEncryptionKey(randomBytes(32))
  const seal = openSeal(db, kek, meta)
  const fake = new FakeManager()
  const manager: ConfiguredManager = { manager: fake, timeout: 50, retiring: false }
  const records: AuditEvent[] = []
  const self = { fake, records, failing: false }
  const options: AuthoritiesOptions = {
    trustDomain,
    seal,
    store: openKeyStore(db, kek, seal, manager),
    meta,
    clock: () => 1_800_000_000,
    observer: {
      record: async (event) => {
        if (self.failing) throw new Error('disk full')
        records.push(event)
      },
    },
    lifetime: 1000,
    publishAhead: 50,
    maxTtl: { 'x509-ca': 100, jwt: 100, wit: 100 },
    refreshHint: 60,
    manager,
  }
  const reopen = (managed: ConfiguredManager | undefined) =>
    openAuthorities({ ...options, store: openKeyStore(db, kek, seal, managed), manager: managed })
  return Object.assign(self, { options, reopen, manager })
}

const text = Buffer.from('text')

test('keys are made in the manager, sign there, and are found again; a revoked one is destroyed there', async () => {
  const one = world()
  const first = await openAuthorities(one.options)
  assert.deepEqual(
    (await one.fake.list()).toSorted(),
    first
      .list()
      .map(({ thumbprint }) => thumbprint)
      .toSorted(),
  )
  const again = await one.reopen(one.manager)
  await again.jwt().sign(text)
  const document = [first, again].map((one) => serializeBundle(one.bundle(), { includeWit: true }))
  assert.equal(document[0], document[1])
  const prepared = await again.prepare('jwt', actor)
  await again.revoke('jwt', prepared.id, actor)
  assert.equal(one.fake.keys.has(prepared.thumbprint), false)
  assert.equal(one.fake.keys.size, 3)
})

test('a manager that is retired signs with its keys, and new ones are made in the store', async () => {
  const one = world()
  await openAuthorities(one.options)
  const again = await one.reopen({ ...one.manager, retiring: true })
  await again.prepare('jwt', actor)
  assert.equal(one.fake.keys.size, 3)
  await again.wit().sign(text)
})

test('a key in a manager that is not configured is refused at the start', async () => {
  const one = world()
  await openAuthorities(one.options)
  await assert.rejects(one.reopen(undefined), { code: 'operation.key_manager_missing' })
  class Other extends FakeManager {
    override readonly name = 'other'
  }
  await assert.rejects(one.reopen({ ...one.manager, manager: new Other() }), { code: 'operation.key_manager_missing' })
})

// One row per fault of a manager: nothing is prepared, nothing is signed, nothing is left behind.
for (const [fault, code] of [
  ['away', 'operation.key_manager_unavailable'],
  ['silent', 'operation.key_manager_timeout'],
  ['wrong signature', 'operation.key_manager_invalid'],
  ['short signature', 'operation.key_manager_invalid'],
  ['wrong form', 'operation.key_manager_invalid'],
] as const) {
  test(`a manager with a fault (${fault}) makes and signs nothing that counts`, async () => {
    const one = world()
    const authorities = await openAuthorities(one.options)
    const before = [authorities.list(), authorities.bundle(), one.fake.keys.size]
    one.fake.fault = fault
    await assert.rejects(authorities.prepare('x509-ca', actor), { code })
    await assert.rejects(async () => authorities.jwt().sign(text), { code })
    assert.deepEqual([authorities.list(), authorities.bundle(), one.fake.keys.size], before)
    assert.deepEqual(one.records.at(-1)?.reasons, [code])
    one.fake.fault = 'none'
    await authorities.prepare('x509-ca', actor)
  })
}

test('a manager without the algorithm is refused before it makes a key', async () => {
  const one = world()
  one.fake.algorithms = ['ES384']
  await assert.rejects(openAuthorities(one.options), { code: 'operation.key_manager_refused' })
  assert.equal(one.fake.keys.size, 0)
})

test('a key whose making cannot be recorded does not stay in the manager', async () => {
  const one = world()
  const authorities = await openAuthorities(one.options)
  one.failing = true
  await assert.rejects(authorities.prepare('jwt', actor), { message: 'disk full' })
  assert.equal(one.fake.keys.size, 3)
})

test('a key that the manager does not destroy is out of the bundle all the same, and recorded', async () => {
  const one = world()
  const authorities = await openAuthorities(one.options)
  const { id, thumbprint } = await authorities.prepare('jwt', actor)
  one.fake.isDestroying = false
  await authorities.revoke('jwt', id, actor)
  assert.equal(authorities.bundle().jwtAuthorities.has(thumbprint), false)
  assert.equal(one.records.at(-1)?.type, 'operation.key-not-destroyed')
  assert.equal(one.records.at(-1)?.details?.reference, thumbprint)
})
