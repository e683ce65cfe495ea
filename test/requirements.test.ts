import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { REQUIREMENTS } from '../spec/requirements.ts'
import { GENERATED, generateRequirements, ROOT, testCitations } from '../tools/generate-requirements.ts'

const cited = testCitations()

test('every requirement id is well formed, in its layer, and given once', () => {
  const ids = REQUIREMENTS.map((requirement) => requirement.id)
  assert.deepEqual(
    ids.filter((id, index) => ids.indexOf(id) !== index),
    [],
  )
  for (const { id, layer } of REQUIREMENTS) {
    assert.match(id, /^[a-z]+\.[a-z0-9]+(?:-[a-z0-9]+)*\.\d{2}$/)
    assert.equal(id.split('.')[0], layer)
  }
})

test('the layers that this version completes have their rows', () => {
  for (const layer of ['identifiers', 'credentials', 'authentication']) {
    const count = REQUIREMENTS.filter((requirement) => requirement.layer === layer).length
    assert.ok(count >= 40, `${layer} has ${count} requirements`)
  }
})

test('every implemented requirement is cited by a test', () => {
  const ids = new Set([...cited.values()].flatMap((set) => [...set]))
  assert.deepEqual(
    REQUIREMENTS.filter(({ id, status }) => status === 'implemented' && !ids.has(id)).map(({ id }) => id),
    [],
    'implemented, but no *.test.ts cites them as [id]',
  )
})

test('every id that a test cites exists', () => {
  const known = new Set(REQUIREMENTS.map(({ id }) => id))
  const unknown = [...cited].flatMap(([path, ids]) =>
    [...ids].filter((id) => !known.has(id)).map((id) => `${path}: ${id}`),
  )
  assert.deepEqual(unknown, [], 'cited, but not in spec/requirements.ts')
})

test('a requirement that does not apply says why', () => {
  assert.deepEqual(
    REQUIREMENTS.filter(({ status, note }) => status === 'not-applicable' && note === undefined).map(({ id }) => id),
    [],
  )
})

test('the generated table is up to date', () => {
  const stale = readFileSync(join(ROOT, GENERATED), 'utf8') !== generateRequirements(cited)
  assert.equal(stale, false, `${GENERATED} is stale: run npx node tools/generate-requirements.ts`)
})
