import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { attestEvidence, joinTokenVerifier } from 'aims/attestation'
import { exportPublicJwk, keyEncryptionKey, WorkloadKey } from 'aims/base'
import { parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { parseEntry } from 'aims/provisioning'
import fc from 'fast-check'
import { openAgentStore, type RegisteredAgent } from './agent-store.ts'
import { openStore } from './database.ts'
import { openEntryStore } from './entry-store.ts'
import { openJoinTokens } from './join-tokens.ts'
import { openKeyBindings } from './key-bindings.ts'
import { loadOrCreateLogKey, openKeyStore } from './key-store.ts'
import { openMeta, requireUnchanged } from './meta.ts'
import { openSeal } from './seal.ts'

const trustDomain = parseTrustDomain('example.com')
const NOW = 1_800_000_000
const bot = parseSpiffeId('spiffe://example.com/bot')
const other = parseSpiffeId('spiffe://example.com/other')

test('a key stays bound to its subject until the last credential for it has expired', async () => {
  const db = openStore(':memory:')
  const bindings = openKeyBindings(db)
  const bind = (subject: typeof bot, expiresAt: number, now: number) =>
    bindings.bind({ thumbprint: 'k', subject, expiresAt, now })
  assert.equal(await bind(bot, NOW + 100, NOW), true)
  assert.equal(await bind(bot, NOW + 50, NOW + 1), true)
  assert.equal(await bind(other, NOW + 200, NOW + 60), false)
  assert.equal(await bind(other, NOW + 200, NOW + 99), false)
  assert.equal(await bind(other, NOW + 200, NOW + 100), true)
  assert.equal(await bind(bot, NOW + 300, NOW + 100), false)
  // The store of the next start says the same.
  assert.equal(
    await openKeyBindings(db).bind({ thumbprint: 'k', subject: bot, expiresAt: NOW + 300, now: NOW + 150 }),
    false,
  )
})

test('no order of requests binds one key to two subjects at one time', async () => {
  const request = fc.record({
    key: fc.constantFrom('a', 'b'),
    subject: fc.constantFrom(bot, other),
    ttl: fc.integer({ min: 1, max: 9 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(request), async (requests) => {
      const bindings = openKeyBindings(openStore(':memory:'))
      const owner = new Map<string, { subject: string; until: number }>()
      for (const [now, { key, subject, ttl }] of requests.entries()) {
        const held = owner.get(key)
        const free = held === undefined || held.until <= now || held.subject === subject
        const answer = await bindings.bind({ thumbprint: key, subject, expiresAt: now + ttl, now })
        assert.equal(answer, free)
        const kept = held?.subject === subject ? held.until : 0
        if (free) owner.set(key, { subject, until: Math.max(kept, now + ttl) })
      }
    }),
  )
})

test('of two subjects that ask for one key at the same moment, one gets it', async () => {
  const bindings = openKeyBindings(openStore(':memory:'))
  const ask = (subject: typeof bot) => bindings.bind({ thumbprint: 'k', subject, expiresAt: NOW + 9, now: NOW })
  assert.deepEqual(await Promise.all([ask(bot), ask(other), ask(bot)]), [true, false, true])
})

test('the room of a subject is not overdrawn by requests of the same moment', async () => {
  const bindings = openKeyBindings(openStore(':memory:'), { maxOfOne: 2 })
  const ask = (thumbprint: string) => bindings.bind({ thumbprint, subject: bot, expiresAt: NOW + 9, now: NOW })
  const answers = await Promise.allSettled(['a', 'b', 'c', 'a'].map(ask))
  const told = answers.map((one) => (one.status === 'fulfilled' ? one.value : one.reason.code))
  assert.deepEqual(told, [true, true, 'operation.busy', true])
})

test('what has expired is forgotten', async () => {
  const db = openStore(':memory:')
  const bindings = openKeyBindings(db)
  await bindings.bind({ thumbprint: 'k', subject: bot, expiresAt: NOW + 1, now: NOW })
  const { publicKey, kid } = WorkloadKey.generate()
  const jwk = exportPublicJwk(publicKey)
  await bindings.register({ subject: bot, kid, jwk, expiresAt: NOW + 1 })
  assert.equal(bindings.find(bot, kid, NOW), JSON.stringify(jwk))
  assert.equal(bindings.find(other, kid, NOW), undefined)
  assert.equal(bindings.find(bot, kid, NOW + 1), undefined)
  bindings.purge(NOW + 1)
  for (const table of ['key_bindings', 'confirmation_keys']) {
    assert.equal(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n, 0)
  }
})

test('one subject does not use up the room for keys, and gets it back when its credentials have expired', async () => {
  const db = openStore(':memory:')
  const open = () => openKeyBindings(db, { maxOfOne: 2 })
  const bindings = open()
  const bind = (thumbprint: string, subject = bot, to = bindings, now = NOW) =>
    to.bind({ thumbprint, subject, expiresAt: now + 10, now })
  const refused = { code: 'operation.busy' }
  assert.deepEqual([await bind('a'), await bind('b'), await bind('a')], [true, true, true])
  await assert.rejects(bind('c'), refused)
  // It has its own for longer, others have theirs, and what is refused counts nothing.
  assert.deepEqual([await bind('b'), await bind('c', other), await bind('a', other)], [true, true, false])
  assert.equal(await bind('d', other), true)
  await assert.rejects(bind('e', other), refused)
  await assert.rejects(bind('e', bot, open()), refused)
  // One that has expired may be another's; then it counts there.
  assert.equal(await bind('a', parseSpiffeId('spiffe://example.com/third'), bindings, NOW + 10), true)
  assert.equal(await bind('f', bot, bindings, NOW + 10), true)
  bindings.purge(NOW + 10)
  assert.equal(await bind('g', bot, bindings, NOW + 10), true)
  await assert.rejects(bind('h', bot, bindings, NOW + 10), refused)
})

test('a key that lies under the name of another one is not found', async () => {
  const db = openStore(':memory:')
  const bindings = openKeyBindings(db)
  const [mine, another] = [WorkloadKey.generate(), WorkloadKey.generate()]
  await bindings.register({ subject: bot, kid: mine.kid, jwk: exportPublicJwk(mine.publicKey), expiresAt: NOW + 1 })
  for (const jwk of [JSON.stringify(exportPublicJwk(another.publicKey)), '{"kty":"EC"}', 'no json']) {
    db.prepare('UPDATE confirmation_keys SET jwk = ?').run(jwk)
    assert.equal(bindings.find(bot, mine.kid, NOW), undefined)
  }
})

test('entries outlast a restart, and a row that this server did not write is found out', () => {
  const db = openStore(':memory:')
  const key = keyEncryptionKey(randomBytes(32))
  const meta = openMeta(db)
  const seal = openSeal(db, key, meta)
  const open = (wrapping = key) => openEntryStore(db, { key: wrapping, meta, seal, trustDomain })
  const entry = parseEntry({ id: 'bot', spiffeId: bot, selectors: ['unix:uid:1'], x509Ttl: 80_000 }, { trustDomain })
  open().insert(entry)
  assert.deepEqual(open().list(), [entry])
  assert.equal(meta.counter('revision'), 1)
  assert.throws(() => open(keyEncryptionKey(randomBytes(32))), { code: 'operation.store_damaged' })
  db.exec(`UPDATE entries SET mac = 'x'`)
  assert.throws(() => open(), { code: 'operation.store_damaged' })
})

test('a retired entry is gone, and its id and subject stay known', () => {
  const db = openStore(':memory:')
  const meta = openMeta(db)
  const key = keyEncryptionKey(randomBytes(32))
  const store = openEntryStore(db, { key, meta, seal: openSeal(db, key, meta), trustDomain })
  const entry = parseEntry({ id: 'bot', spiffeId: bot, selectors: ['unix:uid:1'] }, { trustDomain })
  store.insert(entry)
  store.retire(entry, NOW)
  assert.equal(store.find('bot'), undefined)
  assert.equal(store.findBySubject(bot), undefined)
  assert.equal(store.isIdUsed('bot'), true)
  assert.equal(store.isRetired(bot), true)
  assert.equal(store.isRetired(other), false)
})

test('a fact about a store is set once and refused when it differs', () => {
  const meta = openMeta(openStore(':memory:'))
  requireUnchanged(meta, 'trust_domain', 'example.com', 'trustDomain')
  requireUnchanged(meta, 'trust_domain', 'example.com', 'trustDomain')
  assert.throws(() => requireUnchanged(meta, 'trust_domain', 'other.example', 'trustDomain'), {
    code: 'operation.config_invalid',
    message: /^"trustDomain": this data directory belongs to example.com$/,
  })
})

const bannedAgent: RegisteredAgent = {
  id: 'a'.repeat(32),
  spiffeId: parseSpiffeId('spiffe://example.com/aims/agent/x509-pop/a'),
  type: 'x509-pop',
  selectors: ['x509-pop:serial:01'],
  state: 'banned',
  mayReattest: true,
  thumbprint: 'k',
  serial: '01',
  nextSerial: undefined,
  expiresAt: NOW + 60,
  firstSeen: NOW,
  lastSeen: NOW,
}

test('agents outlast a restart, banned ones too, and a row of another form is refused', () => {
  const { db, seal } = sealedStore()
  assert.deepEqual(openAgentStore(db, seal).list(), [bannedAgent])
  assert.deepEqual(openAgentStore(db, seal).findBySubject(bannedAgent.spiffeId), bannedAgent)
  for (const [column, value] of [
    ['type', 'magic'],
    ['spiffe_id', 'nobody'],
    ['selectors', '{}'],
  ]) {
    db.exec('SAVEPOINT row')
    db.exec(`UPDATE agents SET ${column} = '${value}'`)
    assert.throws(() => openAgentStore(db, seal), { code: 'operation.store_damaged' })
    db.exec('ROLLBACK TO row')
  }
})

test('of a thousand who come with one join token at once, exactly one gets in', async () => {
  const { db, seal } = sealedStore()
  const tokens = openJoinTokens(db, seal)
  const verifier = joinTokenVerifier({
    // As over a network: everybody is somewhere between asking and being answered.
    consume: async (hash, use, now) => {
      await new Promise((resolve) => setImmediate(resolve))
      return tokens.consume(hash, use, now)
    },
  })
  const { token } = tokens.create({ name: 'raced', use: 'workload', ttl: 60 }, NOW)
  const challenge = { nonce: Buffer.alloc(32), publicKey: Buffer.alloc(32) }
  const context = { now: NOW, expected: { kind: 'challenge', challenge, trustDomain } } as const
  const tries = await Promise.allSettled(
    Array.from({ length: 1000 }, () => attestEvidence(verifier, Buffer.from(token), context, verifier.readPolicy({}))),
  )
  const lost = tries.filter((one) => one.status === 'rejected')
  assert.equal(lost.length, 999)
  assert.ok(lost.every(({ reason }) => reason.code === 'attestation.token_unknown'))
})

test('a join token is for workloads or for agents, and one without a word for workloads', () => {
  const { db, seal, reopen } = sealedStore()
  const tokens = openJoinTokens(db, seal)
  const uses = ['workload', 'agent'] as const
  for (const use of uses) {
    const [other = 'agent'] = uses.filter((one) => one !== use)
    const { id } = tokens.create({ name: 'one', use, ttl: 60 }, NOW)
    assert.equal(tokens.consume(id, other, NOW), 'other-use')
    assert.equal(tokens.consume(id, other, NOW + 60), undefined)
    const second = tokens.create({ name: 'two', use, ttl: 60 }, NOW)
    const { token: _, ...kept } = second
    assert.deepEqual(tokens.consume(second.id, use, NOW), kept)
    assert.equal(tokens.consume(second.id, other, NOW), undefined)
  }
  // As a server left it that did not ask.
  const insert = db.prepare('INSERT INTO join_tokens VALUES (?, ?, ?, ?)')
  seal.transaction(() => seal.row('join_tokens', 'old', () => insert.run('old', 'old', NOW, NOW + 60)))
  assert.equal(tokens.consume('old', 'agent', NOW), 'other-use')
  assert.notEqual(tokens.consume('old', 'workload', NOW), undefined)
  assert.equal(db.prepare("SELECT count(*) AS n FROM join_token_uses WHERE id = 'old'").get()?.n, 0)
  reopen()
})

test('join tokens end: by their time, by being taken back, and by the next purge', () => {
  const { db, seal, reopen } = sealedStore()
  const tokens = openJoinTokens(db, seal)
  const late = tokens.create({ name: 'late', use: 'agent', ttl: 10 }, NOW)
  const back = tokens.create({ name: 'back', use: 'workload', ttl: 60 }, NOW)
  assert.equal(tokens.revoke(back.id), true)
  assert.equal(tokens.revoke(back.id), false)
  assert.equal(tokens.consume(back.id, 'workload', NOW), undefined)
  assert.deepEqual(
    tokens.list(NOW).map(({ name }) => name),
    ['edge', 'late'],
  )
  assert.deepEqual(
    tokens.list(NOW + 10).map(({ name }) => name),
    ['edge'],
  )
  assert.equal(tokens.consume(late.id, 'agent', NOW + 10), undefined)
  tokens.purge(NOW + 60)
  assert.equal(db.prepare('SELECT count(*) AS n FROM join_tokens').get()?.n, 0)
  reopen()
})

// A store with two entries, a retired one, and the keys of a log and of a CA; `reopen` is the next start.
function sealedStore() {
  const db = openStore(':memory:')
  const key = keyEncryptionKey(randomBytes(32))
  const meta = openMeta(db)
  const seal = openSeal(db, key, meta)
  const entries = openEntryStore(db, { key, meta, seal, trustDomain })
  const keys = openKeyStore(db, key, seal)
  loadOrCreateLogKey(keys, seal, NOW)
  const life = { createdAt: NOW, activateAt: NOW, expiresAt: NOW + 100, dropAt: 0 }
  const ca = { id: 'ca', purpose: 'x509-ca', state: 'active', ...life, key: WorkloadKey.generate() } as const
  seal.transaction(() => keys.insert({ ...ca, certificate: Buffer.from('certificate') }))
  for (const [index, name] of ['one', 'two', 'gone'].entries()) {
    const spiffeId = `spiffe://example.com/${name}`
    entries.insert(parseEntry({ id: name, spiffeId, selectors: [`unix:uid:${index}`] }, { trustDomain }))
  }
  const gone = entries.find('gone')
  assert.ok(gone)
  entries.retire(gone, NOW)
  seal.transaction(() => keys.update({ ...ca, state: 'retired', dropAt: NOW + 50 }))
  openAgentStore(db, seal).put(bannedAgent)
  openJoinTokens(db, seal).create({ name: 'edge', use: 'agent', ttl: 60 }, NOW)
  return { db, entries, keys, seal, ca, reopen: () => openSeal(db, key, meta) }
}

test('a sealed store opens again, whatever was changed by its owner', () => {
  const { entries, keys, seal, ca, reopen } = sealedStore()
  reopen()
  seal.transaction(() => keys.remove(ca))
  const one = entries.find('one')
  assert.ok(one)
  entries.replace({ ...one, owner: 'somebody', revision: 2 })
  reopen()
})

test('a change that fails leaves the seal as it was', () => {
  const { seal, entries, db, reopen } = sealedStore()
  const failing = () =>
    seal.transaction(() => {
      seal.row('entries', 'one', () => db.exec(`DELETE FROM entries WHERE id = 'one'`))
      throw new Error('in the middle')
    })
  assert.throws(failing, /in the middle/)
  reopen()
  const two = entries.find('two')
  assert.ok(two)
  entries.retire(two, NOW)
  reopen()
})

for (const [what, sql] of [
  ['an entry was deleted', `DELETE FROM entries WHERE id = 'two'`],
  ['all entries were deleted', `DELETE FROM entries`],
  ['two entries changed their keys', `UPDATE entries SET id = CASE id WHEN 'one' THEN 'three' ELSE id END`],
  ['a retired SPIFFE ID was set free', `DELETE FROM retired`],
  ['an authority was given another certificate', `UPDATE keys SET certificate = x'00' WHERE id = 'ca'`],
  ['a retired key was made active', `UPDATE keys SET state = 'active' WHERE id = 'ca'`],
  ['the life of a key was prolonged', `UPDATE keys SET expires_at = expires_at + 1 WHERE id = 'ca'`],
  ['a key was deleted', `DELETE FROM keys WHERE id = 'ca'`],
  ['the bundle sequence went back', `INSERT OR REPLACE INTO meta VALUES ('bundle_sequence', '9')`],
  [
    'an agent was let in',
    `INSERT INTO agents SELECT 'x', spiffe_id || 'x', type, selectors, 'active', 1, '', '', NULL, 0, 0, 0 FROM agents`,
  ],
  ['a banned agent was made active', `UPDATE agents SET state = 'active'`],
  ['a banned agent was forgotten', `DELETE FROM agents`],
  ['a join token was written', `INSERT INTO join_tokens VALUES ('h', 'edge', 0, 9e9)`],
  ['the life of a join token was prolonged', `UPDATE join_tokens SET expires_at = 9e9`],
  ['the seal was removed', `DELETE FROM meta WHERE name = 'seal'`],
] as const) {
  test(`a store is refused when ${what}`, () => {
    const { db, reopen } = sealedStore()
    db.exec(sql)
    assert.throws(reopen, { name: 'AimsError', code: 'operation.store_damaged' })
  })
}
