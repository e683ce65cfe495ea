import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hiddenKey } from './forms.ts'
import { changingTable, patternTable } from './pattern-table.ts'
import { createScrubber, scrubText } from './scrubber.ts'

const TEXT = fc.uint8Array({ minLength: 12, maxLength: 70 }).map((bytes) => Buffer.from(bytes).toString('base64url'))
const CHANGES = fc.array(fc.record({ at: fc.nat({ max: 5 }), isIn: fc.boolean() }), { maxLength: 30 })

test('property: a table that has changed covers what one of the same texts covers', () => {
  fc.assert(
    fc.property(fc.array(TEXT, { minLength: 6, maxLength: 6 }), CHANGES, (texts, changes) => {
      const { table, add } = changingTable()
      const held = new Map<number, () => void>()
      for (const { at, isIn } of changes) {
        if (!isIn) {
          held.get(at)?.()
          held.delete(at)
        } else if (!held.has(at)) held.set(at, add(texts[at] ?? ''))
      }
      const shown = texts.map((text) => `${text} ${Buffer.from(text).toString('hex')} ${btoa(text)}`).join('\n')
      const same = patternTable([...held.keys()].map((at) => hiddenKey(Buffer.from(texts[at] ?? ''))))
      assert.equal(scrubText(shown, [table]), scrubText(shown, [same]))
    }),
  )
})

test('the same text twice is in the table until it was taken out twice', () => {
  const { table, add } = changingTable()
  const text = 'c2lnbmF0dXJlLW9mLWEtdG9rZW4'
  const [first, second] = [add(text), add(text)]
  first()
  assert.equal(scrubText(text, [table]), '*'.repeat(text.length))
  second()
  assert.equal(scrubText(text, [table]), text)
})

test('what comes to a table is covered in the rest of an answer that has begun', () => {
  const { table, add } = changingTable()
  const { push, end } = createScrubber([table])
  const text = 'c2lnbmF0dXJlLW9mLWEtdG9rZW4'
  const begun = push(Buffer.from(`${text}\n`)).toString()
  add(text)
  const rest = Buffer.concat([push(Buffer.from(text)), end()]).toString()
  assert.deepEqual([begun, rest], [`${text}\n`, '*'.repeat(text.length)])
})
