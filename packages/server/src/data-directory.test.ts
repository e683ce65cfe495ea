import assert from 'node:assert/strict'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openDataDirectory } from './data-directory.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-data-'))
after(() => rmSync(dir, { recursive: true }))

test('a data directory is created for its owner alone and taken by one server at a time', () => {
  const path = join(dir, 'a', 'b')
  const data = openDataDirectory(path)
  assert.equal(statSync(path).mode & 0o777, 0o700)
  assert.equal(data.file('store.sqlite'), join(path, 'store.sqlite'))
  assert.throws(() => openDataDirectory(path), { code: 'storage.locked' })
  data.release()
  openDataDirectory(path).release()
})

for (const [what, prepare, code] of [
  ['others can look into', (path: string) => chmodSync(path, 0o750), 'operation.data_directory_open'],
  [
    'is a file',
    (path: string) => {
      rmSync(path, { recursive: true })
      writeFileSync(path, '')
    },
    'operation.data_directory_unwritable',
  ],
  [
    'is a link',
    (path: string) => {
      rmSync(path, { recursive: true })
      symlinkSync(dir, path)
    },
    'operation.data_directory_unwritable',
  ],
] as const) {
  test(`a data directory that ${what} is refused`, () => {
    const path = join(dir, what)
    mkdirSync(path, { mode: 0o700 })
    prepare(path)
    assert.throws(() => openDataDirectory(path), { code })
  })
}

test('a data directory that cannot be created is refused', () => {
  assert.throws(() => openDataDirectory('/proc/aims'), { code: 'operation.data_directory_unwritable' })
})

test('a data directory of another user is refused', { skip: process.geteuid?.() !== 0 && 'needs root' }, () => {
  const path = join(dir, 'foreign')
  mkdirSync(path, { mode: 0o700 })
  chownSync(path, 12_345, 12_345)
  assert.throws(() => openDataDirectory(path), { code: 'operation.data_directory_open' })
})
