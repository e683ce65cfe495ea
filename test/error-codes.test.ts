import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { CODE_TABLES, ERRORS_PAGE, errorsMarkdown } from '../tools/generate-errors.ts'

const codes = CODE_TABLES.flatMap(([, table]) => Object.keys(table))

test('the page of error codes is up to date', () => {
  const stale = readFileSync(ERRORS_PAGE, 'utf8') !== errorsMarkdown()
  assert.equal(stale, false, 'docs/errors.md is stale: run npm run generate')
})

test('every code is given once, in the form area.reason, with a meaning in plain words', () => {
  assert.deepEqual(
    codes.filter((code, index) => codes.indexOf(code) !== index),
    [],
  )
  for (const [code, meaning] of CODE_TABLES.flatMap(([, table]) => Object.entries(table))) {
    assert.match(code, /^[a-z0-9]+\.[a-z0-9]+(?:_[a-z0-9]+)*$/)
    assert.match(meaning, /^\S.*[^.\s]$/, code)
  }
})

test('every file of codes is on the page', () => {
  const all = globSync('packages/aims/src/base/error-codes/*.ts', { cwd: new URL('..', import.meta.url) })
  const files = all.filter((file) => !file.endsWith('index.ts'))
  assert.equal(files.length, CODE_TABLES.length)
})

test('every code is used', () => {
  const sources = globSync('packages/*/src/**/*.ts', { cwd: new URL('..', import.meta.url) })
    .filter((file) => !file.endsWith('.test.ts') && !file.includes('/error-codes/'))
    .map((file) => readFileSync(new URL(`../${file}`, import.meta.url), 'utf8'))
    .join('\n')
  assert.deepEqual(
    codes.filter((code) => !sources.includes(`'${code}'`)),
    [],
  )
})
