import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { WorkloadKey } from 'aims/base'
import { AuditLog, formatVerifierKey } from 'aims/monitoring'
import { lost, startWriter, verifyFile } from './writer.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-disk-'))
after(() => rmSync(dir, { recursive: true }))

// The kernel refuses to let any file of the writer grow beyond the limit, as a disk with an error or without space does.
for (const kilobytes of [96, 400, 1200]) {
  test(`when the disk takes no more than ${kilobytes} KiB, the log stops, refuses what follows, and loses nothing`, async () => {
    const origin = 'example.com/audit'
    const path = join(dir, `${kilobytes}.db`)
    const { privateKey } = generateKeyPairSync('ed25519')
    const keyFile = join(dir, `${kilobytes}.pem`)
    writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }))
    const writer = startWriter([path, keyFile], ['bash', '-c', `ulimit -f ${kilobytes} && exec "$0" "$@"`])
    const { last } = await writer.ended
    assert.equal(last, 'stopped audit.unavailable audit.unavailable')
    assert.ok(writer.acks.size > 0)

    const signer = new WorkloadKey(privateKey)
    using log = AuditLog.open({ path, origin, signer })
    assert.deepEqual(lost(writer.acks, log.read(0, log.size)), [])
    const verdict = verifyFile(path, formatVerifierKey(origin, signer.publicKey))
    assert.equal(verdict.ok && verdict.size, log.size)
    const event = { type: 'operation.started', resource: { type: 'server', id: 's' }, correlationId: 'c' } as const
    assert.deepEqual(await log.append({ ...event, action: 'start', decision: 'none' }), { index: log.size - 1 })
  })
}
