import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { createHighestSeen } from 'aims/attestation'
import { createKeyEncryptionKey, encodePem, type JsonObject } from 'aims/base'
import { parseTrustDomain } from 'aims/identifiers'
import { testCa } from '../../../../test/support/x509-identities.ts'
import { openStore } from '../store/database.ts'
import { type EvidenceMemory, openEvidenceMemory } from '../store/evidence-memory.ts'
import { openMeta } from '../store/meta.ts'
import { openSeal } from '../store/seal.ts'
import { advanceTpm, highestSeen } from './remembering.ts'
import { VERIFIER_TYPES } from './verifier-types.ts'
import { createVerifiers } from './verifiers.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-verifiers-'))
after(() => rmSync(root, { recursive: true }))

function memoryOf(map = new Map<string, string>()): EvidenceMemory {
  return { get: (name) => map.get(name), set: (name, value) => void map.set(name, value) }
}
const around = {
  collateral: join(root, 'collateral'),
  memory: memoryOf(),
  trustDomain: parseTrustDomain('example.com'),
  bundles: { bundleFor: () => undefined },
  env: {},
}

const authorities = join(root, 'ca.pem')
const [ca = new Uint8Array()] = (await testCa()).bundle.x509Authorities
writeFileSync(authorities, encodePem('CERTIFICATE', ca))

// The least that switches a type on; `{}` where nothing must be said.
const LEAST: { readonly [type: string]: JsonObject } = {
  tpm: { vendors: ['google'] },
  'x509-pop': { authorities },
  spiffe: { trustDomains: { 'spire.example': {} } },
  kubernetes: { clusters: { prod: {} } },
  'aws-sts': { regions: ['eu-central-1'] },
  'azure-msi': { audience: 'api://aims', tenants: ['00000000-0000-0000-0000-000000000000'] },
}

describe('types of evidence', () => {
  for (const { type } of VERIFIER_TYPES) {
    test(`${type} is switched on by its settings, and by nothing else`, () => {
      const verifier = createVerifiers({ [type]: LEAST[type] ?? {} }, around).get(type)
      assert.equal(verifier?.type, type)
      const misspelt = { [type]: { ...LEAST[type], colateral: '/x' } }
      assert.throws(() => createVerifiers(misspelt, around), { code: 'operation.config_invalid' })
      if (LEAST[type] !== undefined) {
        assert.throws(() => createVerifiers({ [type]: {} }, around), { code: 'operation.config_invalid' })
      }
    })
  }

  const rows: readonly (readonly [string, JsonObject, RegExp])[] = [
    ['a type that needs no setting', { 'join-token': {} }, /"attestation.join-token": join tokens are always accepted/],
    ['a type that nobody knows', { sgxx: {} }, /"attestation.sgxx": no such type; there are tpm, sgx/],
    ['a type without an object', { github: true }, /"attestation.github": its settings are needed, or \{\}/],
    ['a relative path', { github: { collateral: 'x' } }, /"attestation.github": "collateral": an absolute path/],
    ['a text that is none', { github: { issuer: 1 } }, /"attestation.github": "issuer": a text/],
    ['an empty list', { 'aws-iid': { regions: [] } }, /"regions": a list with something in it/],
    ['a flag that is none', { sgx: { acceptUnratedTcb: 'yes' } }, /"acceptUnratedTcb": true or false/],
    ['a fingerprint that is none', { sgx: { roots: ['ab'] } }, /"roots": SHA-256 in hex/],
    ['a maker that nobody knows', { tpm: { vendors: ['acme'] } }, /"vendors": a list of/],
    ['a region without such a name', { 'aws-sts': { regions: ['x/y'] } }, /"attestation.aws-sts"/],
    ['half of an API server', { kubernetes: { clusters: { a: { server: 'https://k:6443' } } } }, /belong together/],
    ['a cluster it is not in', { kubernetes: { clusters: { a: { inCluster: true } } } }, /runs in the cluster/],
    [
      'revocation lists that are not there',
      { 'x509-pop': { authorities, revocationLists: '/absent' } },
      /revocation lists cannot be read/,
    ],
    [
      'revocation lists that are certificates',
      { 'x509-pop': { authorities, revocationLists: authorities } },
      /blocks of X509 CRL/,
    ],
    ['no trust domain of others', { spiffe: {} }, /"attestation.spiffe": trustDomains must be named/],
    ['the own trust domain as another', { spiffe: { trustDomains: { 'example.com': {} } } }, /is no evidence for it/],
    ['a trust domain that is none', { spiffe: { trustDomains: { 'Not OK': {} } } }, /"attestation.spiffe"/],
    ['a cluster that is no object', { kubernetes: { clusters: { a: 1 } } }, /a map by name/],
    ['an unknown setting of a cluster', { kubernetes: { clusters: { a: { isuer: 'x' } } } }, /settings are issuer/],
  ]
  for (const [what, settings, message] of rows) {
    test(`${what} stops the start`, () => {
      assert.throws(() => createVerifiers(settings, around), { code: 'operation.config_invalid', message })
    })
  }
})

describe('what verifiers remember', () => {
  test('is in the sealed store', () => {
    const key = createKeyEncryptionKey(join(root, 'key'))
    const path = join(root, 'store.sqlite')
    const open = () => {
      const db = openStore(path)
      try {
        return { db, memory: openEvidenceMemory(db, openSeal(db, key, openMeta(db))) }
      } catch (error) {
        db.close()
        throw error
      }
    }
    const first = open()
    highestSeen(first.memory).set('intel/tcb', 7n)
    highestSeen(first.memory).set('intel/tcb', 2n ** 70n)
    first.db.close()
    const second = open()
    assert.equal(highestSeen(second.memory).get('intel/tcb'), 2n ** 70n)
    assert.equal(highestSeen(second.memory).get('intel/other'), createHighestSeen().get('intel/other'))
    second.db.exec("UPDATE evidence_memory SET value = '1'")
    second.db.close()
    assert.throws(open, { code: 'operation.store_damaged' })
  })

  const at = (clock: bigint, resetCount = 1, firmwareVersion = 5n) => ({
    clock: { clock, resetCount, restartCount: 0, isSafe: true },
    firmwareVersion,
  })

  test('refuses a TPM that went back, also after a restart', () => {
    const kept = new Map<string, string>()
    const show = (state: ReturnType<typeof at>, attested = 'tpm:ek:ab'): void =>
      advanceTpm(memoryOf(kept), attested, state)
    show(at(10n))
    assert.throws(() => show(at(9n)), { code: 'attestation.stale' })
    show(at(11n))
    show(at(3n, 2))
    assert.throws(() => show(at(12n, 1)), { code: 'attestation.stale' })
    assert.throws(() => show(at(4n, 2, 4n)), { code: 'attestation.tcb_out_of_date' })
    show(at(4n, 2))
    show(at(1n), 'tpm:ek:other')
  })
})
