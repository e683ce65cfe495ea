// A store that is migrated, forward and back, is killed at any moment and still has all it had.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { keyEncryptionKey } from '../../packages/aims/src/base/key-encryption-key.ts'
import { SCHEMA } from '../../packages/server/src/store/database.ts'
import { fillStore, requireAllThere } from '../support/old-store.ts'

const ROUNDS = Number(process.env.AIMS_KILL_ROUNDS ?? 12)
const SEED = process.env.AIMS_KILL_SEED ?? String(Date.now())
const ENTRIES = 50

const root = mkdtempSync(join(tmpdir(), 'aims-migration-kill-'))
after(() => rmSync(root, { recursive: true }))
const program = fileURLToPath(new URL('migrate.ts', import.meta.url))
const keyFile = join(root, 'kek')
const secret = randomBytes(32)
writeFileSync(keyFile, secret)
const key = keyEncryptionKey(secret)

/** A number from 0 up to 1 that the seed and the round decide. */
function chance(round: number, what: string): number {
  return createHash('sha256').update(`${SEED} ${round} ${what}`).digest().readUInt32BE() / 2 ** 32
}

// A store as the first version of the program left it.
const old = join(root, 'old.sqlite')
fillStore(old, key, SCHEMA.slice(0, 1), ENTRIES)

for (const way of ['forward', 'around'] as const) {
  test(`a store killed while it is migrated (${way}) has all its entries and keys, over ${ROUNDS} kills`, async (t) => {
    t.diagnostic(`AIMS_KILL_SEED=${SEED}`)
    const versions = new Map<number, number>()
    for (let round = 0; round < ROUNDS; round += 1) {
      const path = join(root, `${way}-${round}.sqlite`)
      copyFileSync(old, path)
      const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']
      const child = spawn(process.execPath, [...flags, program, path, keyFile, way], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const ended = once(child, 'exit')
      await once(child.stdout, 'data')
      await sleep(chance(round, `delay ${way}`) * (way === 'forward' ? 12 : 80))
      child.kill('SIGKILL')
      await ended

      const where = `round ${round}, AIMS_KILL_SEED=${SEED}`
      const { DatabaseSync } = process.getBuiltinModule('node:sqlite')
      const raw = new DatabaseSync(path)
      const version = Number(raw.prepare('PRAGMA user_version').get()?.user_version)
      raw.close()
      versions.set(version, (versions.get(version) ?? 0) + 1)
      assert.ok([1, SCHEMA.length - 1, SCHEMA.length].includes(version), `half a migration was kept, ${where}`)
      requireAllThere(path, key, SCHEMA, ENTRIES)
    }
    t.diagnostic(`versions found after the kills: ${[...versions].map(([v, n]) => `${v}: ${n}`).join(', ')}`)
  })
}
