import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, beforeEach, test } from 'node:test'
import { createKeyEncryptionKey } from 'aims/base'
import { deleteSecret, listSecrets, openSecrets, putSecret, type SecretFiles } from './secret-store.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-secrets-'))
after(() => rmSync(root, { recursive: true }))
const VALUE = 'wk_live+7Hq2/9fXb4Tz'
let files: SecretFiles
let count = 0

beforeEach(() => {
  count += 1
  files = { file: join(root, `${count}`, 'secrets.json'), keyFile: join(root, `${count}`, 'secrets.key') }
})

test('a secret that is put is there, sealed, and gone when it is deleted [provisioning.egress.11]', () => {
  const secrets = openSecrets(files)
  assert.deepEqual(secrets.all(), [])
  putSecret(files, 'weather-key', VALUE, 1_700_000_000.5)
  putSecret(files, 'another', VALUE.toUpperCase(), 1_700_000_001)
  assert.equal(secrets.get('weather-key').reveal(), VALUE)
  assert.deepEqual(listSecrets(files), [
    { name: 'another', changedAt: 1_700_000_001 },
    { name: 'weather-key', changedAt: 1_700_000_000 },
  ])
  const text = readFileSync(files.file, 'latin1')
  assert.ok(!text.includes(VALUE) && !text.includes(Buffer.from(VALUE).toString('base64').slice(0, 20)))
  assert.equal(statSync(files.file).mode & 0o777, 0o600)
  assert.equal(statSync(files.keyFile).mode & 0o777, 0o600)
  putSecret(files, 'weather-key', `${VALUE}-new`, 1_700_000_002)
  assert.equal(secrets.get('weather-key').reveal(), `${VALUE}-new`)
  deleteSecret(files, 'weather-key')
  assert.throws(() => secrets.get('weather-key'), { code: 'egress.secret_unknown' })
  assert.throws(() => deleteSecret(files, 'weather-key'), { code: 'egress.secret_unknown' })
})

for (const [what, name, value] of [
  ['a short one', 'weather-key', 'short'],
  ['a long one', 'weather-key', 'a'.repeat(8193)],
  ['one with a line end', 'weather-key', `${VALUE}\n`],
  ['one with a line end inside', 'weather-key', `${VALUE}\r\nx: y`],
  ['one that is not ASCII', 'weather-key', `${VALUE}ä`],
  ['one with a blank before it', 'weather-key', ` ${VALUE}`],
  ['a name like a path', '../key', VALUE],
  ['a name of the prototype', '__proto__', VALUE],
  ['no name', '', VALUE],
] as const) {
  test(`${what} is not taken as a secret`, () => {
    assert.throws(() => putSecret(files, name, value, 1), { code: 'egress.secret_invalid' })
  })
}

// One row per change that somebody could make to the file.
for (const [what, change, code] of [
  [
    'a changed byte',
    (text: string) => text.replace(/"sealed":"(.)/, (_, c) => `"sealed":"${c === 'A' ? 'B' : 'A'}`),
    'egress.secrets_damaged',
  ],
  ['a changed name', (text: string) => text.replace('"weather-key"', '"weather-kez"'), 'egress.secrets_damaged'],
  ['a changed time', (text: string) => text.replace('1700000000', '1700000001'), 'egress.secrets_damaged'],
  ['a row taken away', (text: string) => text.replace(/"secrets":\{.*?\}\}/, '"secrets":{}'), 'egress.secrets_damaged'],
  ['no MAC', (text: string) => text.replace(/,"mac":"[^"]*"/, ''), 'egress.secrets_damaged'],
  ['half of it', (text: string) => text.slice(0, text.length / 2), 'egress.secrets_damaged'],
  ['nothing in it', () => '', 'egress.secrets_damaged'],
] as const) {
  test(`a file of secrets with ${what} is not used [provisioning.egress.11]`, () => {
    putSecret(files, 'weather-key', VALUE, 1_700_000_000)
    const changed = change(readFileSync(files.file, 'utf8'))
    writeFileSync(files.file, changed)
    assert.throws(() => openSecrets(files).get('weather-key'), { code })
    assert.throws(() => putSecret(files, 'weather-key', VALUE, 2), { code })
    assert.equal(readFileSync(files.file, 'utf8'), changed)
  })
}

for (const [what, change, code] of [
  ['a file that others can read', () => chmodSync(files.file, 0o640), 'operation.key_file_mode'],
  ['a key that others can read', () => chmodSync(files.keyFile, 0o604), 'operation.key_file_mode'],
  ['no key', () => rmSync(files.keyFile), 'operation.key_file_missing'],
  [
    'the key of another file',
    () => {
      rmSync(files.keyFile)
      createKeyEncryptionKey(files.keyFile)
    },
    'egress.secrets_damaged',
  ],
] as const) {
  test(`with ${what} no secret is used`, () => {
    putSecret(files, 'weather-key', VALUE, 1)
    change()
    assert.throws(() => openSecrets(files).get('weather-key'), { code })
    assert.throws(() => listSecrets(files), { code })
  })
}
