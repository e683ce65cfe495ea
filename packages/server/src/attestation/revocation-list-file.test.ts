import assert from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { encodePem } from 'aims/base'
import { makeCrl, makeRoot } from '../../../../test/support/vendor-pki.ts'
import { revocationListFile } from './revocation-list-file.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-crl-'))
after(() => rmSync(root, { recursive: true }))
const path = join(root, 'crls.pem')
const one = makeCrl({ issuer: makeRoot('One') })
const two = makeCrl({ issuer: makeRoot('Two') })
const hex = (lists: readonly Uint8Array[]): readonly string[] => lists.map((der) => Buffer.from(der).toString('hex'))

// As whoever publishes a file that others read at any time.
function publish(content: string | Uint8Array): void {
  writeFileSync(`${path}.new`, content)
  renameSync(`${path}.new`, path)
}

test('lists are PEM, one or several, or one as DER; a file that was changed is read again', () => {
  publish(encodePem('X509 CRL', one))
  const lists = revocationListFile(path)
  assert.deepEqual(hex(lists()), hex([one]))
  assert.equal(lists(), lists())
  publish(encodePem('X509 CRL', one) + encodePem('X509 CRL', two))
  assert.deepEqual(hex(lists()), hex([one, two]))
  publish(two)
  assert.deepEqual(hex(lists()), hex([two]))
})

test('a file that cannot be used is never an empty list, also where there was a good one before', () => {
  publish(one)
  const lists = revocationListFile(path)
  lists()
  for (const [content, code] of [
    ['', 'attestation.collateral_malformed'],
    ['no list', 'attestation.collateral_malformed'],
    [encodePem('CERTIFICATE', makeRoot('One').der), 'attestation.collateral_malformed'],
    [encodePem('X509 CRL', one).slice(0, -20), 'attestation.collateral_malformed'],
  ] as const) {
    publish(content)
    assert.throws(() => lists(), { code }, content)
  }
  rmSync(path)
  assert.throws(() => lists(), { code: 'attestation.collateral_missing' })
})
