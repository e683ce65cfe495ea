import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  DCAP_NOW,
  makeCollateralFiles,
  makeDcapPki,
  makeQuote,
  PCK_FIELDS,
} from '../../../../../test/support/dcap-pki.ts'
import { attestEvidence } from '../evidence.ts'
import { dcapCollateral } from './files.ts'
import { dcapCollateralNames as names } from './names.ts'
import { tdxVerifier } from './tdx.ts'

const pki = makeDcapPki()
const files = makeCollateralFiles('tdx', pki)
const file = (name: string) => Buffer.from(files[name] as Uint8Array)
const [info, identity, chain, rootCrl, pckCrl] = [
  file(names.tcbInfo('tdx', PCK_FIELDS.fmspc)),
  file(names.qeIdentity('tdx')),
  file(names.qeIdentityChain('tdx')),
  file(names.rootCrl),
  file(names.pckCrl('platform')),
]
const loose = (...list: readonly Uint8Array[]) => list.map((bytes, at) => ({ name: `file-${at}`, bytes }))

function attest(collateral: readonly { readonly name: string; readonly bytes: Uint8Array }[]) {
  const verifier = tdxVerifier({ collateral: dcapCollateral(collateral), roots: new Set([pki.root.fingerprint]) })
  const context = { now: DCAP_NOW, expected: { kind: 'unchecked' } } as const
  return attestEvidence(verifier, makeQuote('v4', pki), context, verifier.readPolicy({}))
}

const pem = (label: string, bytes: Buffer) =>
  Buffer.from(
    `-----BEGIN ${label}-----\n${bytes.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END ${label}-----\n`,
  )
const cut = (statement: Buffer) => {
  const [, text, signature] = /^\{"[a-zA-Z]+":(.*),"signature":"([0-9a-f]+)"\}$/.exec(statement.toString()) ?? []
  return [text, signature]
}
const bundle = (change: object = {}) => {
  const [tcb_info, tcb_info_signature] = cut(info)
  const [qe_identity, qe_identity_signature] = cut(identity)
  return {
    pck_crl_issuer_chain: pki.ca.pem + pki.root.pem,
    root_ca_crl: rootCrl.toString('hex'),
    pck_crl: pckCrl.toString('hex'),
    tcb_info_issuer_chain: chain.toString(),
    tcb_info,
    tcb_info_signature,
    qe_identity_issuer_chain: chain.toString(),
    qe_identity,
    qe_identity_signature,
    ...change,
  }
}
const json = (value: object) => Buffer.from(JSON.stringify(value))

describe('files of collateral', () => {
  for (const [title, list] of [
    ['in any order', [rootCrl, chain, identity, pckCrl, info]],
    ['with revocation lists in hex', [Buffer.from(rootCrl.toString('hex')), pckCrl, chain, identity, info]],
    ['with revocation lists in PEM', [pem('X509 CRL', rootCrl), pem('X509 CRL', pckCrl), chain, identity, info]],
    [
      'with chains as headers have them',
      [rootCrl, pckCrl, Buffer.from(encodeURIComponent(chain.toString())), identity, info],
    ],
    ['with certificates in DER', [rootCrl, pckCrl, pki.tcbSigner.der, pki.root.der, identity, info]],
    ['with a line end after them', [rootCrl, pckCrl, chain, Buffer.concat([identity, Buffer.from('\n')]), info]],
    [
      'beside others',
      [
        Buffer.from('{}'),
        Buffer.from('%'),
        Buffer.from('-----BEGIN%20%'),
        Buffer.from([0xff]),
        rootCrl,
        pckCrl,
        chain,
        identity,
        info,
      ],
    ],
    ['as one bundle of dcap-qvl', [json(bundle())]],
  ] as const) {
    test(`${title} are recognised`, async () => {
      assert.equal((await attest(loose(...list))).tcb?.status, 'UpToDate')
    })
  }

  test('that are not there are missed', async () => {
    await assert.rejects(attest(loose(rootCrl, chain, identity, info)), { code: 'attestation.collateral_missing' })
    await assert.rejects(attest(loose()), { code: 'attestation.collateral_missing' })
  })

  test('of a bundle in which something is changed are refused', async () => {
    const changed = bundle({ tcb_info: `${bundle().tcb_info} ` })
    await assert.rejects(attest(loose(json(changed))), { code: 'attestation.collateral_invalid' })
    assert.throws(() => dcapCollateral(loose(json(bundle({ pck_crl: 1 })))), {
      code: 'attestation.collateral_malformed',
    })
  })
})
