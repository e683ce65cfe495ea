import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { WorkloadKey } from 'aims/base'
import { AuditLog, AuditReader } from 'aims/monitoring'
import { mergeWithdrawals, newestWithdrawals } from './withdrawals.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-withdrawals-'))
after(() => rmSync(root, { recursive: true }))

const planner = 'spiffe://example.com/agent/planner'
const revoked = (id: string, by: string) =>
  ({
    type: 'provisioning.revoked',
    agent: { id: by, method: by.startsWith('unix') ? 'unix' : 'mtls' },
    resource: { type: 'agent', id },
    action: 'revoke',
    decision: 'allow',
    correlationId: 'c',
    remediation: { action: 'revoke', cause: 'test' },
    details: { sequence: 1, expiresAt: 9_999_999_999 },
  }) as const

test('what an agent revokes of its own pushes no revocation of an operator out of what is remembered', async () => {
  const path = join(root, 'log.sqlite')
  const log = AuditLog.open({ path, origin: 'test', signer: WorkloadKey.generate('EdDSA'), clock: () => 1_800_000_000 })
  await log.record(revoked('spiffe://example.com/agent/leaked', 'unix:uid:0'))
  // Somebody else than its agent: an operator.
  await log.record(revoked(`${planner}/sub/first`, 'unix:uid:0'))
  for (let n = 0; n < 350; n += 1) await log.record(revoked(`${planner}/sub/${n}`, planner))
  log.close()
  using reader = AuditReader.openFile(path)
  const found = newestWithdrawals(reader)
  const ids = (list: typeof found, byAgent: boolean) =>
    list.filter((one) => (one.byAgent === true) === byAgent).map(({ id }) => id)
  assert.deepEqual(ids(found, false).toSorted(), ['spiffe://example.com/agent/leaked', `${planner}/sub/first`])
  assert.equal(ids(found, true).length, 100)
  const later = found.filter(({ byAgent }) => byAgent).map((one) => ({ ...one, index: one.index + 1000 }))
  const merged = mergeWithdrawals(found, later)
  assert.equal(ids(merged, false).length, 2)
  assert.equal(ids(merged, true).length, 100)
  assert.ok(ids(merged, true).includes(`${planner}/sub/349`))
})
