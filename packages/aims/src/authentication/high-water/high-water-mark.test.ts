import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { parseSpiffeId } from '../../identifiers/spiffe-id.ts'
import { createMemoryHighWaterMark, type HighWaterMark } from './high-water-mark.ts'
import { openSqliteHighWaterMark } from './sqlite.ts'

const a = parseSpiffeId('spiffe://example.com/a')
const b = parseSpiffeId('spiffe://example.com/b')

function contract(name: string, open: () => HighWaterMark): void {
  // [authentication.profile.08]
  test(`${name}: a caller may rise, stay, and never fall back`, async () => {
    const marks = open()
    assert.equal(await marks.admit(a, 'aims-00'), true)
    assert.equal(await marks.admit(a, 'aims-00'), true)
    assert.equal(await marks.admit(a, 'wimse-wpt-01'), true)
    assert.equal(await marks.admit(a, 's2s-03-compat'), false)
    assert.equal(await marks.admit(a, 'aims-00'), false)
    assert.equal(await marks.admit(a, 'wimse-wpt-01'), true)
    assert.equal(await marks.admit(a, 'wimse'), true)
    assert.equal(await marks.admit(a, 'wimse'), true)
    for (const weaker of ['wimse-wpt-01', 's2s-03-compat', 'aims-00'] as const) {
      assert.equal(await marks.admit(a, weaker), false, weaker)
    }
  })

  test(`${name}: one caller's mark says nothing about another`, async () => {
    const marks = open()
    assert.equal(await marks.admit(a, 'wimse'), true)
    assert.equal(await marks.admit(b, 'aims-00'), true)
    assert.equal(await marks.admit(a, 'aims-00'), false)
  })
}

const directory = mkdtempSync(join(tmpdir(), 'aims-marks-'))
after(() => rmSync(directory, { recursive: true }))

contract('memory', () => createMemoryHighWaterMark())
contract('sqlite', () => openSqliteHighWaterMark(':memory:'))

test('a memory that is full admits unknown callers under the strongest profile only', () => {
  const marks = createMemoryHighWaterMark({ capacity: 1 })
  assert.equal(marks.admit(a, 'aims-00'), true)
  assert.equal(marks.admit(b, 'aims-00'), false)
  assert.equal(marks.admit(b, 'wimse'), true)
  assert.equal(marks.admit(b, 'aims-00'), false)
  assert.equal(marks.admit(a, 'wimse'), true)
  assert.equal(marks.admit(a, 'aims-00'), false)
})

test('a mark in a file survives a restart and holds for other processes', () => {
  const path = join(directory, 'marks.db')
  const one = openSqliteHighWaterMark(path)
  const other = openSqliteHighWaterMark(path)
  assert.equal(other.admit(a, 'aims-00'), true)
  assert.equal(one.admit(a, 'wimse'), true)
  assert.equal(other.admit(a, 'aims-00'), false)
  one.close()
  other.close()
  const later = openSqliteHighWaterMark(path)
  assert.equal(later.admit(a, 'aims-00'), false)
  later.close()
})
