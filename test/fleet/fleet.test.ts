import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Loot } from './protocol.ts'
import type { Totals } from './report.ts'
import type { Revoked } from './revoke.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
const FLAGS = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']

interface Result extends Omit<Totals, 'failed'> {
  readonly ok: boolean
  readonly failed: { readonly [reason: string]: number }
  readonly failures: number
  readonly revoked: Revoked
  readonly afterwards: { readonly [reason: string]: number }
}

function fleet(...args: readonly string[]) {
  const run = spawnSync(process.execPath, [...FLAGS, MAIN, ...args], { encoding: 'utf8', timeout: 600_000 })
  return {
    status: run.status,
    said: run.stderr,
    result: run.stdout === '' ? undefined : (JSON.parse(run.stdout) as Result),
  }
}

// [provisioning.aims.04] [provisioning.aims.07]
test('a fleet loses no request while every key rotates, and after a ban nobody accepts what the agent was given', (t) => {
  // A short form of `npm run fleet`: as many keys of each kind per workload and second, fewer workloads.
  const { status, said, result } = fleet('--minutes', '1', '--workloads', '60', '--rotate', '20', '--json')
  t.diagnostic(said)
  assert.ok(result !== undefined, said)
  assert.deepEqual([result.failed, result.failures], [{}, 0], said)
  assert.equal(result.served, 60)
  const { verified, rotated, revoked } = result
  // On a machine that is busy everything is slower, and nothing may be missing.
  const total = verified.mtls + verified['wit+wpt'] + verified['jwt-svid']
  assert.ok(total >= 300 && result.requests - total <= 60, `${total} of ${result.requests}`)
  for (const [kind, count] of Object.entries(verified)) assert.ok(count >= 60, `${kind} ${count}`)
  for (const [kind, count] of Object.entries(rotated.workloads)) assert.ok(count >= 30, `${kind} ${count}`)
  for (const [kind, count] of Object.entries(rotated.authorities)) assert.ok(count >= 2, `${kind} ${count}`)
  // Twelve of its workloads or more, and itself.
  assert.ok(revoked.identities > 8, `${revoked.identities}`)
  const last: Loot['lastAccepted'] = revoked.lastAccepted
  for (const [kind, milliseconds] of Object.entries(last)) assert.ok(milliseconds < 8000, `${kind} ${milliseconds} ms`)
  assert.equal(revoked.stillServed, 0)
  // The others go on: whatever their services refused is what the thief tried.
  assert.deepEqual(Object.keys(result.afterwards), ['refused credential.revoked'], said)
  assert.deepEqual([result.ok, status], [true, 0], said)
})

for (const args of [
  ['--minutes', '0'],
  ['--workloads', '2'],
  ['--agents', '1'],
  ['--rotate', '5'],
  ['--pace', 'x'],
  ['--all'],
]) {
  test(`${args.join(' ')} is refused`, () => {
    const { status, result, said } = fleet(...args)
    assert.deepEqual([status, result], [1, undefined])
    assert.match(said, /is a number of at least|Unknown option/)
  })
}
