import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { configurationMarkdown } from './documentation.ts'
import { SETTINGS } from './settings.ts'

test('docs/configuration.md says what the table of settings says', () => {
  const written = readFileSync(new URL('../../../../docs/configuration.md', import.meta.url), 'utf8')
  assert.equal(written, configurationMarkdown(), 'stale: run node tools/configuration-doc.ts')
})

test('every setting is explained by a sentence', () => {
  for (const [key, { doc }] of Object.entries(SETTINGS)) assert.match(doc, /^[A-Z`].{20,}\.$/, key)
})
