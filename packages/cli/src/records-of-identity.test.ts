import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type AuditEvent, WorkloadKey } from 'aims/base'
import { AuditLog } from 'aims/monitoring'
import { fileRecords } from './record-source.ts'
import { recordsOfIdentity } from './records-of-identity.ts'

const directory = mkdtempSync(join(tmpdir(), 'aims-records-'))
after(() => rmSync(directory, { recursive: true }))

const PLANNER = 'spiffe://example.com/agent/planner'
const READER = `${PLANNER}/sub/reader`

function event(action: string, resource: string, details: AuditEvent['details'] = {}): AuditEvent {
  return {
    type: action === 'spawn' ? 'provisioning.sub-agents-issued' : 'provisioning.revoked',
    agent: { id: PLANNER, method: 'mtls' },
    resource: { type: 'sub-agents', id: resource },
    action,
    decision: 'allow',
    correlationId: 'c',
    details,
  }
}

test('a sub-agent is found by how it was made and ended, and by nothing that is about others', async () => {
  const signer = WorkloadKey.generate('Ed25519')
  const log = AuditLog.open({ path: join(directory, 'log.sqlite'), origin: 'example.com/log', signer })
  await log.record(event('spawn', PLANNER, { names: 'writer reader' }))
  await log.record(event('spawn', PLANNER, { names: 'reader2' }))
  await log.record(event('spawn', READER, { names: 'reader' }))
  await log.record(event('revoke', `${READER}/sub/below`))
  await log.record(event('revoke', READER))
  const found = async (id: string): Promise<readonly number[]> =>
    (await recordsOfIdentity(fileRecords(log), id)).map(({ index }) => index)
  assert.deepEqual(await found(READER), [4, 2, 0])
  assert.deepEqual(await found(`${PLANNER}/sub/writer`), [0])
  assert.deepEqual(await found(`${READER}/sub/below`), [3])
  assert.deepEqual(await found(`${PLANNER}/sub/rea`), [])
  assert.deepEqual(await found('spiffe://example.com/agent/other'), [])
  assert.equal((await found(PLANNER)).length, 5)
  assert.deepEqual(await found('spiffe://example.com'), [])
  await assert.rejects(found('agent/planner'), { code: 'identifier.wrong_scheme' })
  await log.close()
})
