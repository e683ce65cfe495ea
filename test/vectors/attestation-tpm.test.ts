import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CollateralFile } from '../../packages/aims/src/attestation/collateral.ts'
import { attestEvidence } from '../../packages/aims/src/attestation/evidence.ts'
import { replayBootLog } from '../../packages/aims/src/attestation/tpm/boot-log.ts'
import {
  certifiedAttestationKey,
  certifiedEndorsementKey,
} from '../../packages/aims/src/attestation/tpm/certificates.ts'
import { checkAttestationKey, checkEndorsementKey } from '../../packages/aims/src/attestation/tpm/key-rules.ts'
import { packTpmFiles, tpmCollateral } from '../../packages/aims/src/attestation/tpm/loose/pack.ts'
import { parseTpmPublic, type TpmPublic } from '../../packages/aims/src/attestation/tpm/public-area.ts'
import { tpmVendorRoots } from '../../packages/aims/src/attestation/tpm/roots.ts'
import { findSecureBoot } from '../../packages/aims/src/attestation/tpm/secure-boot.ts'
import { verifyQuote } from '../../packages/aims/src/attestation/tpm/statements.ts'
import { tpmVerifier } from '../../packages/aims/src/attestation/tpm/tpm.ts'
import { parseVendorCertificate, vendorPublicKey } from '../../packages/aims/src/attestation/x509/vendor-certificate.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { parsePem } from '../../packages/aims/src/base/pem.ts'
import { readGceAttestation } from '../support/gce-attestation.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

const at = (iso: string): number => Date.parse(iso) / 1000
const ACCEPT = { expected: 'accept' } as const
const reject = (code: string) => ({ expected: 'reject', code: `attestation.${code}` }) as const
const accepted = (holds: boolean): void => {
  if (!holds) throw Object.assign(new Error('not what the source says'), { code: 'vector.wrong' })
}

suite('attestation-tpm', 'attestation/tpm', (dir) => [
  ...swtpm(join(dir, 'swtpm')),
  ...gce(join(dir, 'gce')),
  ...vendorCas(dir),
])

function swtpm(dir: string): readonly Case[] {
  const now = at('2026-11-23T21:43:00Z')
  const file = (name: string): CollateralFile => ({ name, bytes: readFileSync(join(dir, name)) })
  const hex = (name: string): Buffer => Buffer.from(readFileSync(join(dir, name), 'latin1').trim(), 'hex')
  const root = parsePem(readFileSync(join(dir, 'swtpm-localca-rootca-cert.pem'), 'latin1'))[0]?.bytes as Uint8Array
  const expected = JSON.parse(readFileSync(join(dir, 'expected.json'), 'latin1'))
  const pcr7 = JSON.parse(readFileSync(join(dir, 'quote.pcrs.json'), 'latin1')).sha256['7']
  const nonce = hex('nonce.hex')

  const judge = (
    id: string,
    evidence: string,
    files: readonly string[],
    wanted: typeof ACCEPT | ReturnType<typeof reject>,
    change: { data?: Buffer; policy?: JsonObject; edit?: (one: CollateralFile) => CollateralFile } = {},
  ): Case => ({
    id: `swtpm: ${id}`,
    ...wanted,
    run: () =>
      outcomeOf(() => {
        const { edit = (one: CollateralFile) => one, data = nonce, policy = {} } = change
        const packed = packTpmFiles(edit(file(evidence)), files.map(file).map(edit))
        const verifier = tpmVerifier({ roots: new Set([parseVendorCertificate(root).fingerprint]), ...packed })
        const context = { now, expected: { kind: 'data', data } } as const
        return attestEvidence(verifier, packed.evidence, context, verifier.readPolicy(policy))
      }),
  })
  const rsa = ['quote.sig', 'ak.pub', 'quote.pcrs']
  const ecc = ['quote_ecc.sig', 'ak_ecc.pub', 'quote_ecc.pcrs']
  const rsaChain = ['ek.pub', 'ekcert.der', 'issuercert.pem', 'swtpm-localca-rootca-cert.pem']
  const eccChain = ['ekecc.pub', 'ekcert_ecc.der', ...rsaChain.slice(2)]
  const endorsed = [...rsa, ...rsaChain]
  const all = readdirSync(dir).filter((name) => /\.(sig|pub|pcrs|name)$|cert/.test(name) && name !== 'ek.pem')
  const rename = (from: string, to: string) => (one: CollateralFile) => (one.name === from ? { ...one, name: to } : one)
  return [
    judge('RSA quote', 'quote.msg', rsa, ACCEPT),
    judge('RSA quote with JSON PCRs', 'quote.msg', ['quote.sig', 'ak.pub', 'quote.pcrs.json'], ACCEPT),
    judge('RSA quote without PCRs', 'quote.msg', ['quote.sig', 'ak.pub'], ACCEPT),
    judge('RSA quote by the Name of its key', 'quote.msg', [...rsa, 'ak.name'], ACCEPT),
    judge('RSA quote with the chain of the endorsement key', 'quote.msg', endorsed, ACCEPT),
    judge('the same without the issuer', 'quote.msg', endorsed.slice(0, 5), reject('untrusted')),
    judge('ECC quote', 'quote_ecc.msg', ['quote_ecc.sig', 'ak_ecc.pub', 'quote_ecc.pcrs'], ACCEPT),
    judge('ECC quote with the chain of its endorsement key', 'quote_ecc.msg', [...ecc, ...rsaChain], ACCEPT),
    judge('ECC quote with the chain of another', 'quote_ecc.msg', [...ecc, ...eccChain], reject('inconsistent')),
    judge('ECC quote among the files of all keys', 'quote_ecc.msg', all, ACCEPT),
    judge('RSA quote among the files of all keys', 'quote.msg', all, ACCEPT),
    judge('quote bound to a key', 'quote_bound.msg', ['quote_bound.sig', 'ak.pub', 'quote_bound.pcrs'], ACCEPT, {
      data: hex('bound.hex'),
    }),
    judge(
      'quote bound to a key, asked for another',
      'quote_bound.msg',
      ['quote_bound.sig', 'ak.pub', 'quote_bound.pcrs'],
      reject('binding_mismatch'),
    ),
    judge('replayed quote', 'quote.msg', rsa, reject('binding_mismatch'), { data: hex('bound.hex') }),
    judge('bank that is not active (N19)', 'quote_2bank.msg', ['quote_2bank.sig', 'ak.pub'], reject('not_enough')),
    judge('selection that was not asked for (N19)', 'quote.msg', rsa, reject('not_enough'), {
      policy: { selection: 'sha256:0,1,2,3,4,7,8' },
    }),
    judge('selection that was asked for', 'quote.msg', rsa, ACCEPT, { policy: { selection: 'sha256:0,1,2,3,4,7' } }),
    judge('golden digest', 'quote.msg', rsa, ACCEPT, { policy: { pcrDigests: [expected.quote.pcrDigest] } }),
    judge('golden PCR', 'quote.msg', rsa, ACCEPT, { policy: { pcrs: { 'sha256:7': [pcr7] } } }),
    judge('wrong PCR', 'quote.msg', rsa, reject('measurement_mismatch'), {
      policy: { pcrs: { 'sha256:7': ['00'.repeat(32)] } },
    }),
    judge('another key of the TPM', 'quote.msg', ['quote.sig', 'ak_ecc.pub'], reject('invalid_signature')),
    judge('signature of another quote', 'quote.msg', ['quote_bound.sig', 'ak.pub'], reject('invalid_signature')),
    judge('certified key as a quote (N22)', 'certify.msg', ['certify.sig', 'ak.pub'], reject('malformed'), {
      data: Buffer.from('00ff55aa', 'hex'),
    }),
    judge('certified key', 'certify.msg', ['certify.sig', 'ak.pub', 'wk.pub'], ACCEPT, {
      data: Buffer.from('00ff55aa', 'hex'),
      policy: { acceptWithoutQuote: true, requireResidentKey: true },
    }),
    judge(
      'certified key, no quote accepted',
      'certify.msg',
      ['certify.sig', 'ak.pub', 'wk.pub'],
      reject('not_enough'),
      { data: Buffer.from('00ff55aa', 'hex') },
    ),
    judge('key that is not restricted (N21)', 'quote.msg', ['quote.sig', 'wk.pub'], reject('chain_invalid')),
    judge('storage key in place of an attestation key', 'quote.msg', ['quote.sig', 'ek.pub'], reject('malformed')),
    judge('no signature', 'quote.msg', ['ak.pub'], reject('malformed')),
    judge('hex in place of bytes', 'quote.msg', rsa, ACCEPT, {
      edit: (one) =>
        one.name.endsWith('.pcrs')
          ? one
          : { ...one, bytes: Buffer.from(`${Buffer.from(one.bytes).toString('hex')}\n`) },
    }),
    judge('base64 in place of bytes', 'quote.msg', rsa, ACCEPT, {
      edit: (one) => ({ ...one, bytes: Buffer.from(Buffer.from(one.bytes).toString('base64')) }),
    }),
    judge('names that say nothing', 'quote.msg', rsa, ACCEPT, { edit: rename('quote.sig', 'b') }),
    ...['quote', 'quote_ecc', 'quote_bound'].map((name): Case => {
      const key = parseTpmPublic(readFileSync(join(dir, expected[name].ak)))
      return {
        id: `swtpm: ${name}, parsed fields`,
        ...ACCEPT,
        run: () =>
          outcomeOf(() => {
            const parts = { attest: file(`${name}.msg`).bytes, signature: file(`${name}.sig`).bytes }
            const quote = verifyQuote(checkAttestationKey(key), parts)
            const { clock, firmwareVersion, pcrDigest, qualifiedSigner, extraData } = quote
            accepted(key.name.toString('hex') === expected[name].akName)
            accepted(qualifiedSigner.toString('hex') === expected[name].qualifiedSigner)
            accepted(extraData.toString('hex') === expected[name].extraData)
            accepted(`${clock.clock}` === expected[name].clock && clock.resetCount === expected[name].resetCount)
            accepted(firmwareVersion.toString(16) === expected[name].firmware)
            accepted(pcrDigest.toString('hex') === expected[name].pcrDigest)
          }),
      }
    }),
    ...['ek.pub', 'ekecc.pub'].map((name): Case => {
      return {
        id: `swtpm: ${name}`,
        ...ACCEPT,
        run: () => outcomeOf(() => checkEndorsementKey(parseTpmPublic(file(name).bytes))),
      }
    }),
  ]
}

function gce(dir: string): readonly Case[] {
  const read = (name: string): Buffer => readFileSync(join(dir, name))
  const files = readdirSync(dir).map((name) => ({ name, bytes: read(name) }))
  const collateral = tpmCollateral(files.filter(({ name }) => name.endsWith('r') || name.endsWith('.crt')))
  const trust = { roots: tpmVendorRoots('google'), collateral }
  const now = at('2023-01-01T00:00:00Z')
  const certificates = files.filter(({ name }) => name.endsWith('.pem'))
  return [
    ...['no-nonce', 'nonce9009'].flatMap((name) => {
      const { akPublic, quotes, eventLog } = readGceAttestation(read(`gce-cos-85-${name}.pb`))
      const key = checkAttestationKey(parseTpmPublic(akPublic))
      return quotes.map(
        (quote): Case => ({
          id: `gce: ${name}, bank ${quote.bank}, with its boot log`,
          ...ACCEPT,
          run: () =>
            outcomeOf(() => {
              const { extraData, values } = verifyQuote(key, quote)
              accepted(extraData.toString('hex') === (name === 'nonce9009' ? '9009' : ''))
              const isOn = findSecureBoot(replayBootLog(eventLog, values ?? new Map()))
              accepted(isOn === (quote.bank === 'sha1' ? undefined : true))
            }),
        }),
      )
    }),
    ...certificates.map(({ name, bytes }): Case => {
      const der = parsePem(bytes.toString('latin1'))[0]?.bytes as Uint8Array
      const key = { publicKey: vendorPublicKey(parseVendorCertificate(der)) } as TpmPublic
      const check = name.includes('sign') ? certifiedAttestationKey : certifiedEndorsementKey
      return {
        id: `gce: ${name}`,
        ...ACCEPT,
        run: () =>
          outcomeOf(() => {
            const { instance } = check([der], key, trust, now)
            accepted(instance?.zone === 'us-central1-a' && instance.projectId === 'google.com:wuale-gcp-testing')
          }),
      }
    }),
  ]
}

function vendorCas(dir: string): readonly Case[] {
  const index: readonly { readonly file: string; readonly sha256: string }[] = JSON.parse(
    readFileSync(join(dir, 'vendor-ca/index.json'), 'latin1'),
  )
  const known = tpmVendorRoots('alibaba', 'globalsign', 'infineon', 'intel', 'nationz', 'nuvoton', 'stmicro')
  return index.map(({ file, sha256 }) => ({
    id: `vendor-ca: ${file}`,
    ...ACCEPT,
    run: () =>
      outcomeOf(() => {
        const der = parsePem(readFileSync(join(dir, 'vendor-ca', file), 'latin1'))[0]?.bytes as Uint8Array
        const { fingerprint } = parseVendorCertificate(der)
        accepted(fingerprint === sha256.replaceAll(':', '').toLowerCase() && known.has(fingerprint))
      }),
  }))
}
