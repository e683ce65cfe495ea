import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { authorize } from '../authorization/authorize.ts'
import { accessRequest } from '../authorization/testing.ts'
import { AimsError } from '../base/errors.ts'
import type { AuditEvent, Observer } from '../base/event.ts'
import { followPolicies } from './follow-policies.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-policies-'))
after(() => rmSync(root, { recursive: true, force: true }))

const ALL = '@id("all") permit(principal, action, resource);'
const NONE = '@id("none") forbid(principal, action, resource);'

function directory(text?: string): { readonly path: string; write(text: string, name?: string): void } {
  const path = mkdtempSync(join(root, 'set-'))
  const write = (content: string, name = 'a.cedar'): void => writeFileSync(join(path, name), content)
  if (text !== undefined) write(text)
  return { path, write }
}

function observed(): Observer & { readonly events: AuditEvent[]; isAway: boolean } {
  const events: AuditEvent[] = []
  return {
    events,
    isAway: false,
    async record(event) {
      if (this.isAway) throw new AimsError('audit.unavailable', 'away')
      events.push(event)
    },
  }
}

test('a set that has changed decides once it is read again, and not before', async () => {
  const { path, write } = directory(ALL)
  const observer = observed()
  const policies = await followPolicies(path, { observer })
  const before = policies.version
  write(NONE)
  assert.equal(authorize(accessRequest(), policies).effect, 'allow')
  const version = await policies.reload()
  assert.notEqual(version, before)
  assert.equal(policies.version, version)
  const decision = authorize(accessRequest(), policies)
  assert.deepEqual([decision.effect, decision.policySet], ['deny', version])
  assert.deepEqual(
    observer.events.map(({ type, resource }) => [type, resource.id]),
    [
      ['policy.loaded', before],
      ['policy.loaded', version],
    ],
  )
})

// One row per way in which a new set is of no use.
for (const [title, spoil, code] of [
  ['that does not parse', ({ write }) => write('permit('), 'policy.invalid'],
  [
    'that does not fit the schema',
    ({ write }) => write('permit(principal, action == Action::"no", resource);'),
    'policy.invalid',
  ],
  ['with an id twice', ({ write }) => write(ALL, 'b.cedar'), 'policy.duplicate_id'],
  ['whose directory is gone', ({ path }) => rmSync(path, { recursive: true }), 'policy.unreadable'],
] as const satisfies readonly (readonly [string, (one: ReturnType<typeof directory>) => void, string])[]) {
  test(`a set ${title} changes nothing, and that is recorded`, async () => {
    const one = directory(ALL)
    const observer = observed()
    const policies = await followPolicies(one.path, { observer })
    const before = policies.version
    spoil(one)
    await assert.rejects(policies.reload(), { code })
    assert.equal(policies.version, before)
    assert.equal(authorize(accessRequest(), policies).effect, 'allow')
    const refused = observer.events.at(-1)
    assert.deepEqual([refused?.type, refused?.decision, refused?.details?.inForce], ['policy.refused', 'deny', before])
  })
}

test('a set whose coming into force cannot be recorded does not come into force', async () => {
  const { path, write } = directory(NONE)
  const observer = observed()
  const policies = await followPolicies(path, { observer })
  write(ALL)
  observer.isAway = true
  await assert.rejects(policies.reload(), { code: 'audit.unavailable' })
  assert.equal(authorize(accessRequest(), policies).effect, 'deny')
  observer.isAway = false
  await policies.reload()
  assert.equal(authorize(accessRequest(), policies).effect, 'allow')
})

test('of several readings at once the newest state stays, and one that failed keeps no other from coming', async () => {
  const { path, write } = directory(ALL)
  const policies = await followPolicies(path, { observer: observed() })
  write('permit(')
  const failed = policies.reload()
  await assert.rejects(failed, { code: 'policy.invalid' })
  write(NONE)
  const versions = await Promise.all([policies.reload(), policies.reload(), policies.reload()])
  assert.deepEqual([...new Set(versions)], [policies.version])
  assert.equal(authorize(accessRequest(), policies).effect, 'deny')
})

test('without a first set that can be used there is no engine', async () => {
  await assert.rejects(followPolicies(directory('permit(').path, { observer: observed() }), { code: 'policy.invalid' })
  await assert.rejects(followPolicies(join(root, 'nothing'), { observer: observed() }), { code: 'policy.unreadable' })
})
