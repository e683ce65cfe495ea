import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readlinkSync } from 'node:fs'
import { test } from 'node:test'
import { AimsError } from '../base/errors.ts'
import { releasePeerCredentials } from './peer-credentials.ts'
import { loadProcessLocator } from './process-locator.ts'
import { unixAttestor } from './unix.ts'

const gone = (error: unknown): boolean => AimsError.is(error) && error.code === 'attestation.process_gone'

test('a process is found with what the kernel says of it, is attested, and is missed when it has ended', async () => {
  const locator = await loadProcessLocator()
  const child = spawn('sleep', ['300'], { stdio: 'ignore' })
  await once(child, 'spawn')
  const pid = child.pid ?? 0
  const found = locator.locate(pid)
  const { credentials } = found
  assert.deepEqual([credentials.pid, credentials.uid, credentials.gid], [pid, process.geteuid?.(), process.getegid?.()])
  const { selectors } = await unixAttestor().attest(credentials, { now: 0 })
  assert.ok(selectors.includes(`unix:path:${readlinkSync(`/proc/${pid}/exe`)}`))
  found.requireRunning()
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
  assert.throws(() => found.requireRunning(), gone)
  assert.throws(() => locator.locate(pid), gone)
  await assert.rejects(unixAttestor().attest(credentials, { now: 0 }), gone)
  releasePeerCredentials(credentials)
})

for (const [title, pid] of [
  ['a PID that nobody has', 0x7fff_fff0],
  ['a PID that is negative', -1],
  ['PID 0', 0],
] as const) {
  test(`${title} is not found`, async () => {
    const locator = await loadProcessLocator()
    assert.throws(() => locator.locate(pid), gone)
  })
}
