import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { cpuTime } from '../../../../test/support/cpu-time.ts'
import { isBlankAt, trimBlanks, trimBlanksEnd } from './blanks.ts'

const texts = fc.array(fc.constantFrom(' ', '\t', 'a', '\n', '\u00a0', '\ufeff')).map((pieces) => pieces.join(''))

test('spaces and tabs around a text go, and nothing else does', () => {
  fc.assert(
    fc.property(texts, (text) => {
      assert.equal(trimBlanks(text), text.replace(/^[ \t]+|[ \t]+$/g, ''))
      assert.equal(trimBlanksEnd(text), text.replace(/[ \t]+$/, ''))
      assert.equal(isBlankAt(text, 0), /^[ \t]/.test(text))
    }),
  )
})

test('a million blanks inside a text take no time', () => {
  const text = `x${' '.repeat(1_000_000)}y`
  // The pattern takes minutes.
  assert.ok(cpuTime(() => assert.equal(trimBlanks(text), text)) < 2000)
})
