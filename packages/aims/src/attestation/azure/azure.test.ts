import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  AZURE_NOW,
  AZURE_SERIAL,
  type AzureContent,
  azureCertificate,
  azureContent,
  azureIssuer,
  azureMessage,
  azureRoot,
  azureSigner,
  issuersAt,
  signs,
} from '../../../../../test/support/azure-document.ts'
import { type CmsOptions, MD5, RSA_SHA256, SHA1, SHA256, signedAttributes } from '../../../../../test/support/cms.ts'
import { assertNoFlipAccepted, assertRefused, assertWhole } from '../../../../../test/support/tampering.ts'
import {
  caExtensions,
  extendedUsage,
  makeCertificate,
  makeRoot,
  newKey,
  nil,
  oid,
  seq,
  subjectAltDns,
} from '../../../../../test/support/vendor-pki.ts'
import type { JsonObject } from '../../base/json.ts'
import type { Challenge, ExpectedBinding } from '../binding.ts'
import { collateralOf } from '../collateral.ts'
import { attestEvidence } from '../evidence.ts'
import { type AzureTrust, azureCollateral, azureIssuerAddresses, azureVerifier } from './azure.ts'
import { azureNonce } from './nonce.ts'

const trust: AzureTrust = {
  roots: new Set([azureRoot.fingerprint]),
  collateral: azureCollateral([
    { name: 'ca.pem', bytes: Buffer.from(azureIssuer.pem) },
    { name: 'root.der', bytes: azureRoot.der },
  ]),
}

interface Options {
  readonly trust?: Partial<AzureTrust>
  readonly now?: number
  readonly expected?: ExpectedBinding
  readonly policy?: JsonObject
}
const attest = async (evidence: Uint8Array, options: Options = {}) => {
  const { now = AZURE_NOW, expected = { kind: 'unchecked' }, policy = {} } = options
  const verifier = azureVerifier({ ...trust, ...options.trust })
  return attestEvidence(verifier, evidence, { now, expected }, verifier.readPolicy(policy))
}
const refuses = (code: string, evidence: Uint8Array, options: Options = {}) =>
  assert.rejects(attest(evidence, options), { code })

const challenge: Challenge = { nonce: Buffer.alloc(32, 7), publicKey: azureSigner.key.spki }
const vmId = 'bd8e7443-0000-41f3-b949-8baf4fd1c573'
const subscriptionId = '5f130ffc-0000-4795-b691-4f56a12a5547'

describe('an attested document of Azure', () => {
  const message = azureMessage()

  test('with the digest named as Azure names it says which machine it is (N4)', async () => {
    const result = await attest(message)
    assert.deepEqual(result.selectors, [
      `azure_imds:subscription-id:${subscriptionId}`,
      `azure_imds:vm-id:${vmId}`,
      'azure_imds:sku:24_04-lts-gen2',
    ])
    assert.deepEqual([result.binding, result.freshness, result.hardwareRoot], ['none', 'window', azureRoot.fingerprint])
    assert.equal(result.evidenceNotAfter, AZURE_NOW + 21_540)
  })

  const base64 = message.toString('base64')
  for (const [what, evidence] of [
    ['as base64', Buffer.from(base64)],
    ['as the answer of the service', Buffer.from(JSON.stringify({ encoding: 'pkcs7', signature: base64 }))],
    ['with the digest the standard asks for', azureMessage(undefined, { digestAlgorithm: SHA256 })],
    ['with its issuer in the message', azureMessage(undefined, { certificates: [azureIssuer.der, azureSigner.der] })],
  ] as const) {
    test(`is accepted ${what}`, async () => {
      assert.equal((await attest(evidence)).attributes['vm-id'], vmId)
    })
  }

  const nonce = azureNonce(challenge)
  test('is bound to a challenge by 32 characters of base32', async () => {
    assert.match(nonce, /^[A-Z2-7]{32}$/)
    const expected: ExpectedBinding = { kind: 'challenge', challenge, trustDomain: 'example.com' }
    const result = await attest(azureMessage(azureContent({ nonce })), { expected })
    assert.deepEqual([result.binding, result.freshness], ['audience', 'nonce'])
    await refuses('attestation.binding_mismatch', message, { expected })
    const otherKey = { ...challenge, publicKey: azureIssuer.key.spki }
    await refuses('attestation.binding_mismatch', azureMessage(azureContent({ nonce: azureNonce(otherKey) })), {
      expected,
    })
    const otherNonce = { ...challenge, nonce: Buffer.alloc(32, 8) }
    await refuses('attestation.binding_mismatch', azureMessage(azureContent({ nonce: azureNonce(otherNonce) })), {
      expected,
    })
  })

  test('is compared with a nonce that others asked for', async () => {
    await attest(message, { expected: { kind: 'data', data: Buffer.from('20250615-211320') } })
    await refuses('attestation.binding_mismatch', message, {
      expected: { kind: 'data', data: Buffer.from('20250615') },
    })
  })

  const attacker = makeRoot('Attacker', { key: newKey('RSA-2048') })
  // The same names and serial number as the real one, under a root of the attacker's.
  const forged = azureCertificate(undefined, { issuer: attacker, issuerName: azureIssuer.subject })
  const own = azureCertificate(undefined, { issuer: attacker, serial: 5 })
  const named = (...names: readonly string[]): Partial<CmsOptions> => ({ signer: azureCertificate(names) })
  const rows: readonly (readonly [string, string, Partial<CmsOptions>, Options?, AzureContent?])[] = [
    [
      'signed by an attacker, with the certificate of Azure first in the message (N2)',
      'attestation.untrusted',
      { signer: own, serial: Buffer.of(5), issuer: attacker.subject, certificates: [azureSigner.der, own.der] },
    ],
    [
      'signed by an attacker, with the certificate of Azure last in the message (N2)',
      'attestation.untrusted',
      { signer: own, serial: Buffer.of(5), issuer: attacker.subject, certificates: [own.der, azureSigner.der] },
    ],
    [
      'signed by an attacker whose certificate has the names and the serial number of the real one (N2)',
      'attestation.malformed',
      { signer: forged, certificates: [azureSigner.der, forged.der] },
    ],
    [
      'signed by an attacker with a forged certificate (N2)',
      'attestation.invalid_signature',
      { signer: forged, certificates: [forged.der] },
    ],
    [
      'signed by another key than that of its certificate (N3)',
      'attestation.invalid_signature',
      { signingKey: attacker },
    ],
    [
      'about another machine than the one signed (N3)',
      'attestation.invalid_signature',
      { digested: azureContent({ members: { vmId } }).subarray(1) },
    ],
    ['with two signers (N2)', 'attestation.malformed', { signers: (one) => [one, one] }],
    ['with no signer (N2)', 'attestation.malformed', { signers: () => [] }],
    ['without certificates', 'attestation.malformed', { certificates: undefined as never }],
    ['with an empty list of certificates', 'attestation.malformed', { certificates: [] }],
    ['without the certificate of its signer', 'attestation.key_unknown', { certificates: [azureIssuer.der] }],
    [
      'with a certificate that is not of its chain (N40)',
      'attestation.malformed',
      { certificates: [azureSigner.der, attacker.der] },
    ],
    [
      'with another issuer and the serial number of a certificate (N40)',
      'attestation.key_unknown',
      { issuer: attacker.subject },
    ],
    ['with another serial number (N40)', 'attestation.key_unknown', { serial: Buffer.of(9) }],
    ['with MD5 (N4)', 'attestation.unsupported', { digestAlgorithm: MD5 }],
    ['with SHA-1 (N4)', 'attestation.unsupported', { digestAlgorithm: SHA1, hash: 'sha1' }],
    [
      'with sha1WithRSAEncryption for a digest (N4)',
      'attestation.unsupported',
      { digestAlgorithm: seq(oid('1.2.840.113549.1.1.5'), nil()) },
    ],
    ['with another signature algorithm (N40)', 'attestation.unsupported', { signatureAlgorithm: RSA_SHA256 }],
    ['that announces another digest (N40)', 'attestation.malformed', { announcedAlgorithm: SHA256 }],
    [
      'with signed attributes',
      'attestation.malformed',
      {
        attributes: signedAttributes({
          content: azureContent(),
          signer: azureSigner,
          serial: AZURE_SERIAL,
          signingTime: 0,
        }),
      },
    ],
    ['in BER', 'attestation.malformed', { streamed: true }],
    ['of evilmetadata.azure.com (N5)', 'attestation.chain_invalid', named('evilmetadata.azure.com')],
    ['of metadata.azure.com.evil (N5)', 'attestation.chain_invalid', named('metadata.azure.com.evil')],
    ['of metadata.azure.com.evil.example (N5)', 'attestation.chain_invalid', named('metadata.azure.com.evil.example')],
    ['of the cloud of the US government (N5)', 'attestation.chain_invalid', named('metadata.azure.us')],
    [
      'of the public cloud where another is configured (N5)',
      'attestation.chain_invalid',
      {},
      { trust: { clouds: ['china'] } },
    ],
    [
      'of no name (N5)',
      'attestation.chain_invalid',
      { signer: azureCertificate([], { extensions: [signs, extendedUsage('1.3.6.1.5.5.7.3.1')] }) },
    ],
    [
      'of a certificate for no purpose',
      'attestation.chain_invalid',
      { signer: azureCertificate([], { extensions: [signs, subjectAltDns('metadata.azure.com')] }) },
    ],
    [
      'of a certificate for clients',
      'attestation.chain_invalid',
      {
        signer: azureCertificate([], {
          extensions: [subjectAltDns('metadata.azure.com'), extendedUsage('1.3.6.1.5.5.7.3.2')],
        }),
      },
    ],
    [
      'of a certificate that may not sign',
      'attestation.chain_invalid',
      {
        signer: azureCertificate([], {
          extensions: [
            caExtensions()[1] as never,
            subjectAltDns('metadata.azure.com'),
            extendedUsage('1.3.6.1.5.5.7.3.1'),
          ],
        }),
      },
    ],
    [
      'of an expired certificate',
      'attestation.expired',
      { signer: azureCertificate(undefined, { notAfter: AZURE_NOW - 1 }) },
    ],
    [
      'of a key of RSA-1024',
      'attestation.weak_key',
      { signer: azureCertificate(undefined, { key: newKey('RSA-1024') }) },
    ],
    ['one second before it was made', 'attestation.not_yet_valid', {}, { now: AZURE_NOW - 61 }],
    ['one second after it expired', 'attestation.expired', {}, { now: AZURE_NOW + 21_541 }],
    ['without a configured root', 'attestation.untrusted', {}, { trust: { roots: new Set() } }],
    ['under another root', 'attestation.untrusted', {}, { trust: { roots: new Set([attacker.fingerprint]) } }],
    ['whose issuer is not at hand', 'attestation.untrusted', {}, { trust: { collateral: azureCollateral([]) } }],
    ['without collateral', 'attestation.collateral_missing', {}, { trust: { collateral: collateralOf({}) } }],
    [
      'with collateral that is none',
      'attestation.collateral_malformed',
      {},
      { trust: { collateral: collateralOf({ 'azure/ca.pem': Buffer.from('?') }) } },
    ],
    ['of a machine without an id', 'attestation.malformed', {}, {}, { members: { vmId: undefined } }],
    ['of a machine whose id is no UUID', 'attestation.malformed', {}, {}, { members: { vmId: `${vmId}0` } }],
    ['of a machine whose sku has a line end', 'attestation.malformed', {}, {}, { members: { sku: 'a\nb' } }],
    ['without a nonce', 'attestation.malformed', {}, {}, { members: { nonce: undefined } }],
    ['without a time', 'attestation.malformed', {}, {}, { members: { timeStamp: undefined } }],
    [
      'of February 30',
      'attestation.malformed',
      {},
      {},
      { members: { timeStamp: { createdOn: '02/30/25 00:00:00 -0000', expiresOn: '02/30/26 00:00:00 -0000' } } },
    ],
    [
      'of a time in another zone',
      'attestation.malformed',
      {},
      {},
      { members: { timeStamp: { createdOn: '06/15/25 00:00:00 +0100', expiresOn: '06/16/25 00:00:00 -0000' } } },
    ],
  ]
  for (const [what, code, change, options, content] of rows) {
    test(`${what} is refused`, () => {
      const document = azureContent(content)
      return refuses(code, azureMessage(document, change), options)
    })
  }

  test('of the cloud of a government is accepted where that is configured', async () => {
    const evidence = azureMessage(undefined, named('usgovarizona.metadata.azure.us'))
    await attest(evidence, { trust: { clouds: ['us-government'] } })
  })

  test('whose content has a member twice, or is no JSON, is refused', async () => {
    for (const text of ['{"vmId":"","vmId":""}', '[]', '']) {
      await refuses('attestation.malformed', azureMessage(Buffer.from(text)))
    }
  })

  test('no flipped bit is accepted, certificate included (N3, N40, section 3.1)', () =>
    assertNoFlipAccepted(attest, message, 8))
  test('cut anywhere or made longer it is refused', () => assertWhole(attest, message))
  test('random bytes are refused with a code (property)', () =>
    fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), (bytes) => assertRefused(attest, bytes, 'random bytes')),
    ))
})

describe('the policy for attested documents', () => {
  const rows: readonly (readonly [JsonObject, string | undefined])[] = [
    [{ subscriptions: [subscriptionId.toUpperCase()], vmIds: [vmId], maxAge: 300 }, undefined],
    [{ subscriptions: ['5f130ffc-0000-4795-b691-4f56a12a5548'] }, 'attestation.not_allowed'],
    [{ vmIds: [subscriptionId] }, 'attestation.not_allowed'],
    [{ maxAge: 59 }, 'attestation.stale'],
    [{ subscription: subscriptionId }, 'attestation.policy_malformed'],
  ]
  for (const [policy, code] of rows) {
    test(`${JSON.stringify(policy)} ${code ?? 'passes without warning'}`, async () => {
      if (code !== undefined) await refuses(code, azureMessage(), { policy })
      else assert.deepEqual((await attest(azureMessage(), { policy })).warnings, [])
    })
  }
})

describe('where the issuer of a certificate can be had', () => {
  const at = (...addresses: readonly string[]) => {
    const { extensions } = { extensions: [subjectAltDns('metadata.azure.com'), issuersAt(...addresses)] }
    const signer = makeCertificate({
      subject: 'x',
      issuer: azureIssuer,
      key: newKey('RSA-2048'),
      serial: AZURE_SERIAL,
      extensions,
    })
    return azureIssuerAddresses(azureMessage(undefined, { signer }))
  }
  const good = 'http://www.microsoft.com/pki/mscorp/Microsoft%20RSA%20TLS%20CA%2001.crt'

  test('is an address at Microsoft or DigiCert', () => {
    assert.deepEqual(at(good, 'https://cacerts.digicert.com/a.crt'), [good, 'https://cacerts.digicert.com/a.crt'])
    assert.deepEqual(azureIssuerAddresses(azureMessage()), [])
  })

  for (const address of [
    'http://169.254.169.254/latest/meta-data/',
    'http://www.microsoft.com:8080/a.crt',
    'http://www.microsoft.com@169.254.169.254/a.crt',
    'http://user@www.microsoft.com/a.crt',
    'http://www.microsoft.com.evil.example/a.crt',
    'http://evil.example/www.microsoft.com',
    'ftp://www.microsoft.com/a.crt',
    'file:///etc/passwd',
    'http://www.microsoft.com/a.crt?x=1',
    'not an address',
  ]) {
    test(`is never ${address} (N6)`, () => assert.deepEqual(at(address, good), [good]))
  }
})
