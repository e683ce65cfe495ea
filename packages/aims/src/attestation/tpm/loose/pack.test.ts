import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { bootedPcrs, bootLog, efiVariable, type LogEvent } from '../../../../../../test/support/boot-log.ts'
import { KEY_ATTRIBUTES, maker, softTpm, tpm2b } from '../../../../../../test/support/soft-tpm.ts'
import { certifyOf, quoteOf } from '../../../../../../test/support/tpm-evidence.ts'
import { makeCrl } from '../../../../../../test/support/vendor-pki.ts'
import type { AttestationResult } from '../../attestor.ts'
import { type CollateralFile, collateralOf } from '../../collateral.ts'
import { attestEvidence } from '../../evidence.ts'
import { packTpmFiles, tpmCollateral, tpmFilesVerifier } from './pack.ts'

const now = Date.UTC(2026, 0, 1) / 1000
const data = Buffer.from('qualifying data')
const tpm = softTpm({ ak: { kind: 'RSA-2048' } })
const boot: readonly LogEvent[] = [
  { pcr: 7, type: 0x8000_0001, data: efiVariable('SecureBoot', Buffer.of(1)) },
  { pcr: 7, type: 4, data: Buffer.alloc(4) },
]
const quote = quoteOf(tpm, data, { pcrs: bootedPcrs(boot) }) as { quote: string; signature: string; pcrs: object }
const { certify } = certifyOf(tpm, data) as { certify: { public: string; attest: string; signature: string } }

const file = (name: string, content: Uint8Array | string | object): CollateralFile => ({
  name,
  bytes:
    content instanceof Uint8Array
      ? content
      : Buffer.from(typeof content === 'string' ? content : JSON.stringify(content)),
})
const raw = (name: string, base64: string): CollateralFile => file(name, Buffer.from(base64, 'base64'))
const QUOTE = raw('quote.msg', quote.quote)
const SIGNATURE = raw('quote.sig', quote.signature)
const AK = file('ak.pub', tpm2b(tpm.ak.area))
const PCRS = file('pcrs.json', quote.pcrs)

function attest(
  evidence: CollateralFile,
  files: readonly CollateralFile[],
  policy: object = {},
): Promise<AttestationResult> {
  const collateral = collateralOf({})
  const verifier = tpmFilesVerifier({ roots: new Set([maker.fingerprint]), collateral }, files)
  const context = { now, expected: { kind: 'data', data } } as const
  return attestEvidence(verifier, evidence.bytes, context, verifier.readPolicy(policy as never))
}

describe('loose files of a TPM', () => {
  test('become evidence by their content, whatever they are called', async () => {
    const { selectors } = await attest(QUOTE, [SIGNATURE, AK, PCRS])
    assert.ok(selectors.some((one) => one.startsWith('tpm:pcr:sha256:7:')))
    await attest({ ...QUOTE, name: 'a' }, [
      { ...AK, name: 'b' },
      { ...SIGNATURE, name: 'c' },
    ])
  })

  test('may be hex or base64, with a line end', async () => {
    const hex = (one: CollateralFile) => file(one.name, `${Buffer.from(one.bytes).toString('hex')}\n`)
    const base64 = (one: CollateralFile) => file(one.name, `${Buffer.from(one.bytes).toString('base64')}\n`)
    await attest(hex(QUOTE), [base64(SIGNATURE), hex(AK)])
  })

  test('may be a document, whose key is vouched for by the file of its public area or Name', async () => {
    const document = file('evidence.json', { akPublic: Buffer.from(AK.bytes).toString('base64'), ...quote })
    await attest(document, [AK])
    await attest(document, [file('ak.name', tpm.ak.name)])
    await assert.rejects(attest(document, []), { code: 'attestation.key_unknown' })
  })

  test('may be two statements, each with the signature of its name', async () => {
    const more = [
      raw('certify.attest', certify.attest),
      raw('certify.sig', certify.signature),
      file('wk.pub', tpm.key.area),
    ]
    const { selectors } = await attest(QUOTE, [...more, SIGNATURE, AK, PCRS], { requireResidentKey: true })
    assert.ok(selectors.includes('tpm:resident-key:true'))
  })

  test('may bring the endorsement key with its chain, in PEM, and a boot log', async () => {
    const { selectors, hardwareRoot } = await attest(
      QUOTE,
      [
        SIGNATURE,
        AK,
        PCRS,
        file('ek.pub', tpm.ek.area),
        file('chain.pem', `${tpm.ekCertificate.pem}${maker.pem}`),
        file('binary_bios_measurements', bootLog(boot)),
        file('maker.crl', makeCrl({ issuer: maker })),
      ],
      { requireSecureBoot: true },
    )
    assert.equal(hardwareRoot, maker.fingerprint)
    assert.ok(selectors.includes('tpm:secureboot:true'))
    const list = file('maker.crl', makeCrl({ issuer: maker, nextUpdate: now - 1 }))
    const files = [
      SIGNATURE,
      AK,
      file('ek.pub', tpm.ek.area),
      file('ek.pem', tpm.ekCertificate.pem),
      file('ca', maker.der),
    ]
    await assert.rejects(attest(QUOTE, [...files, list]), { code: 'attestation.collateral_expired' })
  })

  test('may be the quote of an Azure machine as its agents pass it on', async () => {
    const all = [{ bank: 'sha256', indices: [...Array(24).keys()] }] as const
    const whole = quoteOf(tpm, data, { selection: all }) as {
      quote: string
      signature: string
      pcrs: { sha256: object }
    }
    const azure = {
      message: Buffer.from(whole.quote, 'base64').toString('hex'),
      signature: Buffer.from(whole.signature, 'base64').subarray(6).toString('hex'),
      pcrs: Object.values(whole.pcrs.sha256),
    }
    assert.equal((await attest(file('quote.json', azure), [AK])).binding, 'full')
  })

  test('that lack a part, or are of something else, are refused', async () => {
    for (const files of [[AK], [SIGNATURE], []]) {
      assert.throws(() => packTpmFiles(QUOTE, files), { code: 'attestation.malformed' })
    }
    for (const other of ['', 'text', '{', '{"message": 1}', '{"sha256": {"0": "aa"}}', Buffer.of(0x30, 0x82, 0, 0)]) {
      assert.throws(() => tpmCollateral([file('x', other)]), { code: 'attestation.collateral_malformed' })
      assert.throws(() => packTpmFiles(file('x', other), [AK]), { code: 'attestation.malformed' })
    }
    const unrestricted = softTpm({ ak: { attributes: KEY_ATTRIBUTES } })
    const forged = quoteOf(unrestricted, data) as typeof quote
    const evidence = [raw('s', forged.signature), file('k', unrestricted.ak.area)]
    await assert.rejects(attest(raw('q', forged.quote), evidence), { code: 'attestation.chain_invalid' })
  })

  test('of any bytes are refused with a code of this layer', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 800 }), (bytes) => {
        try {
          packTpmFiles(QUOTE, [SIGNATURE, AK, file('x', Buffer.from(bytes))])
        } catch (error) {
          assert.match((error as { code: string }).code, /^attestation\./)
        }
      }),
    )
  })
})
