import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { createKeyEncryptionKey, isMacOf, keyEncryptionKey, readKeyEncryptionKey } from './key-encryption-key.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-kek-'))
after(() => rmSync(dir, { recursive: true }))
const name = { purpose: 'x509-ca', id: 'one', version: 1 }

test('a key-encryption key is created once, mode 0600, and opens again what it wrapped', () => {
  const file = join(dir, 'kek')
  assert.equal(readKeyEncryptionKey(file), undefined)
  const created = createKeyEncryptionKey(file)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const secret = randomBytes(138)
  const wrapped = created.wrap(secret, name)
  assert.ok(!wrapped.includes(secret.subarray(0, 16)))
  const read = readKeyEncryptionKey(file)
  assert.deepEqual(read?.unwrap(wrapped, name), secret)
  assert.equal(read?.fingerprint, created.fingerprint)
  assert.throws(() => createKeyEncryptionKey(file), { code: 'operation.key_file_invalid' })
})

for (const [what, prepare, code] of [
  ['readable by the group', (file: string) => chmodSync(file, 0o640), 'operation.key_file_mode'],
  ['readable by everybody', (file: string) => chmodSync(file, 0o604), 'operation.key_file_mode'],
  ['one byte short', (file: string) => writeFileSync(file, randomBytes(31)), 'operation.key_file_invalid'],
  [
    'written in hex',
    (file: string) => writeFileSync(file, randomBytes(32).toString('hex')),
    'operation.key_file_invalid',
  ],
  ['empty', (file: string) => writeFileSync(file, ''), 'operation.key_file_invalid'],
] as const) {
  test(`a key-encryption key that is ${what} is refused`, () => {
    const file = join(dir, what)
    writeFileSync(file, randomBytes(32), { mode: 0o600 })
    prepare(file)
    assert.throws(() => readKeyEncryptionKey(file), { code })
  })
}

test('a directory in the place of the key-encryption key is refused', () => {
  assert.throws(() => readKeyEncryptionKey(dir), { code: 'operation.key_file_invalid' })
})

test('a wrapped secret opens under its own key and name only', () => {
  const key = keyEncryptionKey(randomBytes(32))
  const wrapped = key.wrap(Buffer.from('secret'), name)
  for (const other of [
    { ...name, purpose: 'jwt' },
    { ...name, id: 'two' },
    { ...name, version: 2 },
  ]) {
    assert.throws(() => key.unwrap(wrapped, other), { code: 'operation.store_damaged' })
  }
  assert.throws(() => keyEncryptionKey(randomBytes(32)).unwrap(wrapped, name), { code: 'operation.store_damaged' })
})

test('a wrapped secret with any bit changed, or cut short, does not open', () => {
  const key = keyEncryptionKey(randomBytes(32))
  const wrapped = key.wrap(Buffer.from('secret'), name)
  for (let bit = 0; bit < wrapped.length * 8; bit += 1) {
    const changed = Buffer.from(wrapped)
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    assert.throws(() => key.unwrap(changed, name), { code: 'operation.store_damaged' })
  }
  for (let length = 0; length < wrapped.length; length += 1) {
    assert.throws(() => key.unwrap(wrapped.subarray(0, length), name), { code: 'operation.store_damaged' })
  }
})

test('a MAC is valid for its own label and text only', () => {
  const key = keyEncryptionKey(randomBytes(32))
  fc.assert(
    fc.property(fc.string(), fc.string(), (text, other) => {
      const mac = key.mac('entry', text)
      assert.ok(isMacOf(key, mac, 'entry', text))
      assert.equal(isMacOf(key, mac, 'entry', other), text === other)
      assert.equal(isMacOf(key, mac, 'other', text), false)
    }),
  )
})
