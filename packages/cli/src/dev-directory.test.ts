import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { DEV_DIRECTORY, findDevFile } from './dev-directory.ts'

const home = process.cwd()
const scratch = mkdtempSync(join(tmpdir(), 'aims-dev-directory-'))
before(() => {
  process.chdir(scratch)
  mkdirSync(DEV_DIRECTORY, { recursive: true, mode: 0o700 })
  writeFileSync(join(DEV_DIRECTORY, 'api.sock'), '')
})
after(() => {
  process.chdir(home)
  rmSync(scratch, { recursive: true })
})

test('files of the own aims dev are found, and no others', () => {
  assert.equal(findDevFile('api.sock'), join(DEV_DIRECTORY, 'api.sock'))
  assert.equal(findDevFile('log.sqlite'), undefined)
  assert.equal(findDevFile('api.sock', (process.geteuid?.() ?? 0) + 1), undefined)
  for (const mode of [0o720, 0o702, 0o777]) {
    chmodSync(DEV_DIRECTORY, mode)
    assert.equal(findDevFile('api.sock'), undefined)
  }
  chmodSync(DEV_DIRECTORY, 0o755)
  assert.notEqual(findDevFile('api.sock'), undefined)
  renameSync(DEV_DIRECTORY, 'elsewhere')
  symlinkSync(join(scratch, 'elsewhere'), DEV_DIRECTORY)
  assert.equal(findDevFile('api.sock'), undefined)
})
