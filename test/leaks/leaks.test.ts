import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findLeaks } from './harness.ts'

const titles =
  'a hostile model finds no credential, and one with a key in its environment does [provisioning.aims.06] [provisioning.model.01] [provisioning.model.02] [provisioning.model.03] [provisioning.model.04] [provisioning.model.06]'

// `npm run leaks` takes 100,000 steps.
test(titles, { timeout: 300_000 }, async () => {
  const { broker, inProcess, baseline, served, astray, heapBytes } = await findLeaks({ steps: 3000, seed: 7 })
  assert.deepEqual([...broker.leaks], [])
  assert.deepEqual([...inProcess.leaks], [])
  assert.deepEqual([...broker.violations, ...inProcess.violations], [])
  assert.equal(astray, 0)
  // It was tried: a service had credentials to give away, and an agent without the broker gives its key away.
  assert.ok(served > 300, `${served} served`)
  assert.ok(
    broker.channels.size > 30 && inProcess.channels.size > 25,
    `${broker.channels.size} ${inProcess.channels.size}`,
  )
  assert.ok(heapBytes > 1_000_000)
  assert.ok(baseline.leaks.size > 10, `${baseline.leaks.size} in the baseline`)
})
