import assert from 'node:assert/strict'
import { chmodSync, lstatSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { writeSecret } from './svid.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-output-'))
after(() => rmSync(dir, { recursive: true }))

test('a key is not written into a file that others read, nor through a link', () => {
  const path = join(dir, 'key.pem')
  writeFileSync(path, 'old')
  chmodSync(path, 0o644)
  writeSecret(path, 'secret')
  assert.equal(lstatSync(path).mode & 0o777, 0o600)
  const elsewhere = join(dir, 'elsewhere')
  writeFileSync(elsewhere, 'theirs')
  const link = join(dir, 'link.pem')
  symlinkSync(elsewhere, link)
  writeSecret(link, 'secret')
  assert.equal(readFileSync(elsewhere, 'utf8'), 'theirs')
  assert.equal(readFileSync(link, 'utf8'), 'secret')
})
