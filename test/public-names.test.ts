import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { PUBLIC_NAMES, publicNamesJson, ROOT, readPublicNames } from '../tools/generate-public-names.ts'

const subpaths = readPublicNames()

test('every subpath exports something, by name', () => {
  assert.deepEqual(
    [...subpaths].filter(([, names]) => names.length === 0).map(([subpath]) => subpath),
    [],
  )
})

test('every public name has a doc comment', () => {
  const bare = [...subpaths].flatMap(([subpath, names]) =>
    names.filter(({ documented }) => !documented).map(({ name, file }) => `${subpath}: ${name} (${file})`),
  )
  assert.deepEqual([...new Set(bare)], [])
})

test('a name of one subpath means the same in every other, adapters excepted', () => {
  const files = new Map<string, string>()
  for (const [subpath, names] of subpaths) {
    // Adapters have the same names on purpose: who knows one knows all.
    for (const { name, file } of names.filter(({ file }) => !file.includes('/adapters/'))) {
      assert.equal(files.get(name) ?? file, file, `${subpath} exports another ${name}`)
      files.set(name, file)
    }
  }
})

test('what is public is what the list says', () => {
  const stale = readFileSync(join(ROOT, PUBLIC_NAMES), 'utf8') !== publicNamesJson()
  assert.equal(
    stale,
    false,
    `the public names changed: if that is meant, run npm run generate and commit ${PUBLIC_NAMES}`,
  )
})
