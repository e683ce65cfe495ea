// Three verifiers, processes of their own, with one replay store: each of them is shown each proof.
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { openSqliteReplayStore, proofHeaders } from 'aims/authentication'
import { serializeBundle } from 'aims/credentials'
import { AUDIENCE, testDomain } from '../support/identities.ts'
import type { SharedStore, Task, Verdicts } from '../support/replica.ts'
import { startPostgres, startRedis, withoutPostgres, withoutRedis } from '../support/servers.ts'

const REPLICAS = 3
/** How many replays; a full run shows 100,000 to servers. */
const REPLAYS = Number(process.env.AIMS_REPLAYS ?? '3000')
const AWAY = 300
const directory = mkdtempSync(join(tmpdir(), 'aims-replicas-'))
after(() => rmSync(directory, { recursive: true }))

const domain = testDomain('example.com', { now: Math.floor(Date.now() / 1000) })
const wit = await domain.wit()

function writeProofs(name: string, count: number): Task {
  const request = { method: 'GET', target: '/', audience: AUDIENCE }
  const at = Math.floor(Date.now() / 1000)
  const fields = Array.from(
    { length: count },
    () => proofHeaders(wit, request, { now: at, lifetime: 290 }).authorization,
  )
  const proofs = join(directory, name)
  writeFileSync(proofs, fields.join('\n'))
  return { proofs, wit: wit.token }
}

async function startReplicas(store: SharedStore): Promise<readonly ChildProcess[]> {
  const program = new URL('../support/replica.ts', import.meta.url)
  const replicas = Array.from({ length: REPLICAS }, () =>
    fork(program, [JSON.stringify(store), serializeBundle(domain.bundle, { includeWit: true })]),
  )
  await Promise.all(replicas.map((one) => once(one, 'message')))
  return replicas
}

function askAll(replicas: readonly ChildProcess[], task: Task): Promise<readonly Verdicts[]> {
  return Promise.all(
    replicas.map(async (one) => {
      one.send(task)
      return (await once(one, 'message'))[0]
    }),
  )
}

interface Shared {
  readonly store: SharedStore
  /** How many replays to show. */
  readonly replays: number
  /** Makes the store go away. */
  stop(): Promise<void> | void
  close(): Promise<void> | void
}

const STORES: { readonly [name: string]: { readonly skip: string | false; open(): Promise<Shared> } } = {
  sqlite: {
    skip: false,
    async open() {
      const path = join(directory, 'replays.db')
      openSqliteReplayStore(path).close()
      const other = new DatabaseSync(path)
      return {
        store: { kind: 'sqlite', path, patience: 30_000 },
        replays: Math.min(REPLAYS, 3000),
        // Afterwards the file is not what it was.
        stop: () => other.exec('DROP TABLE used'),
        close: () => other.close(),
      }
    },
  },
  postgres: {
    skip: withoutPostgres,
    async open() {
      const server = await startPostgres()
      const secret = randomBytes(32).toString('base64url')
      const store: SharedStore = { kind: 'postgres', port: server.port, secret, patience: 60_000 }
      return { store, replays: REPLAYS, stop: () => server.kill(), close: () => server.remove() }
    },
  },
  redis: {
    skip: withoutRedis,
    async open() {
      const server = await startRedis()
      const secret = randomBytes(32).toString('base64url')
      const store: SharedStore = { kind: 'redis', port: server.port, secret, patience: 60_000 }
      return { store, replays: REPLAYS, stop: () => server.kill(), close: () => server.remove() }
    },
  },
}

// [authentication.wpt.25] [authentication.aims.05]
for (const [name, { skip, open }] of Object.entries(STORES)) {
  test(`${name}: three verifiers accept each proof once between them, and none when the store is away`, {
    skip,
  }, async () => {
    const { store, replays, stop, close } = await open()
    const replicas = await startReplicas(store)
    try {
      const proofs = Math.ceil(replays / (REPLICAS - 1))
      const verdicts = await askAll(replicas, writeProofs(`${name} proofs`, proofs))
      const accepted = verdicts.flatMap((one) => one.accepted)
      assert.equal(accepted.length, proofs)
      assert.equal(new Set(accepted).size, proofs)
      const refused = verdicts.reduce((sum, one) => sum + (one.refused['proof.replayed'] ?? 0), 0)
      assert.equal(refused, proofs * (REPLICAS - 1))
      await stop()
      for (const { accepted: none, refused: codes } of await askAll(replicas, writeProofs(`${name} away`, AWAY))) {
        assert.deepEqual(none, [])
        assert.deepEqual(codes, { 'proof.replay_store_unavailable': AWAY })
      }
    } finally {
      for (const one of replicas) one.kill()
      await close()
    }
  })
}
