import { asBuffer, sha256 } from '../../../base/bytes.ts'
import { refuseAs } from '../../../base/errors.ts'
import { encodePem } from '../../../base/pem.ts'
import { type CollateralFile, type CollateralSource, collateralOf, firstOf } from '../../collateral.ts'
import { vendorPublicKey } from '../../x509/vendor-certificate.ts'
import { basicConstraints } from '../../x509/vendor-chain.ts'
import type { TpmKnownKeys } from '../authenticate.ts'
import type { TpmCertificateTrust } from '../certificates.ts'
import { parseTpmDocument, pcrValuesJson } from '../document.ts'
import type { PcrValues } from '../pcrs.ts'
import { ATTRIBUTE } from '../public-area.ts'
import { type TpmVerifier, tpmVerifier } from '../tpm.ts'
import { malformed } from '../wire.ts'
import {
  belongsTo,
  findEndorsement,
  findSigner,
  findValues,
  has,
  isAttestationKey,
  isCertify,
  isStatement,
  type PublicFile,
  type StatementFile,
} from './choose.ts'
import { recogniseTpmFile, type TpmFile } from './recognise.ts'

/** Loose files put together. */
export interface PackedTpmFiles {
  /** For {@link tpmVerifier}. */
  readonly evidence: Uint8Array
  /** The attestation keys whose public area or Name was given as a file of its own: whoever gives it vouches for it. */
  readonly knownKeys: TpmKnownKeys
  /** Certificates and lists of vendors. */
  readonly collateral: CollateralSource
}

/**
 * Puts files of `tpm2_quote`, `tpm2_certify` and the like together into evidence: a statement, its signature, public
 * areas, PCRs, a boot log, certificates; or a document that is whole already. Files are told apart by content, and among
 * several of a kind those are taken that fit the statement. Vouches for nothing: {@link tpmVerifier} refuses what does
 * not fit.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.collateral_malformed`
 */
export function packTpmFiles(evidence: CollateralFile, files: readonly CollateralFile[]): PackedTpmFiles {
  const own = refuseAs('attestation.malformed', 'the evidence is not something that a TPM or its tools write', () =>
    recogniseTpmFile(evidence),
  )
  const given = recogniseAll(files)
  const names = new Set([
    ...given.flatMap((file) => (isAttestationKey(file) ? [file.area.name.toString('hex')] : [])),
    ...given.flatMap((file) => (file.kind === 'name' ? [asBuffer(file.bytes).toString('hex')] : [])),
  ])
  const whole = own.find(({ kind }) => kind === 'document')
  return {
    evidence: whole === undefined ? assemble(own, given) : whole.bytes,
    knownKeys: { find: (name) => (names.has(name) ? {} : undefined) },
    collateral: sourceOf(given),
  }
}

/**
 * {@link tpmVerifier} for evidence that lies in loose files: what it takes as evidence is a statement (or a document), the
 * other parts are given beforehand by whoever judges. An attestation key that is among them is vouched for.
 */
export function tpmFilesVerifier(trust: TpmCertificateTrust, files: readonly CollateralFile[]): TpmVerifier {
  return {
    ...tpmVerifier(trust),
    authenticate(bytes, context) {
      const { evidence, knownKeys, collateral } = packTpmFiles({ name: '', bytes }, files)
      const whole = { ...trust, knownKeys, collateral: firstOf(trust.collateral, collateral) }
      return tpmVerifier(whole).authenticate(evidence, context)
    },
  }
}

/**
 * Makes a collateral source of loose files: certificates (PEM or DER) and revocation lists of TPM vendors. Other files
 * are passed over: they are parts of evidence.
 *
 * @throws {@link AimsError} `attestation.collateral_malformed` for a file that no TPM, tool or vendor writes
 */
export function tpmCollateral(files: readonly CollateralFile[]): CollateralSource {
  return sourceOf(recogniseAll(files))
}

function recogniseAll(files: readonly CollateralFile[]): readonly TpmFile[] {
  return refuseAs(
    'attestation.collateral_malformed',
    'a file is not one that a TPM, its tools or its vendor write: of keys give the TPM form (tpm2_createak -u), not PEM',
    () => files.flatMap(recogniseTpmFile),
  )
}

function sourceOf(files: readonly TpmFile[]): CollateralSource {
  const source = new Map<string, Uint8Array>()
  for (const file of files) {
    if (file.kind === 'list') source.set(`tpm/crl/${sha256(file.issuer).toString('hex')}`, file.bytes)
    if (file.kind !== 'certificate') continue
    const name = `tpm/ca/${sha256(file.certificate.subject).toString('hex')}`
    const pem = Buffer.from(encodePem('CERTIFICATE', file.bytes))
    source.set(name, Buffer.concat([source.get(name) ?? Buffer.alloc(0), pem]))
  }
  return collateralOf(source)
}

function assemble(own: readonly TpmFile[], given: readonly TpmFile[]): Buffer {
  const files = [...own, ...given]
  const subject = own.find(isStatement)
  if (subject === undefined) throw malformed('the evidence is not a statement of a TPM')
  const keys = files.filter((file) => file.kind === 'public')
  const { ak, signature } = findSigner(subject, keys, files)
  const statements = [subject, ...given.filter(isStatement).filter((one) => belongsTo(one, subject))]
  const resident = keys.find((key) => !has(key, ATTRIBUTE.decrypt) && !has(key, ATTRIBUTE.restricted))
  const certify = resident === undefined ? undefined : statements.find(isCertify)
  const quote = statements.find((one) => one !== certify)
  const signed = (one: StatementFile): { readonly attest: string; readonly signature: string } => ({
    attest: b64(one.bytes),
    signature: b64(one === subject ? signature : findSigner(one, [ak], files).signature),
  })
  const document = {
    ...endorsementOf(files, subject, ak),
    akPublic: b64(ak.bytes),
    ...optional('akCertificate', certificateOf(files, ak)),
    ...(quote === undefined ? {} : quoteOf(signed(quote), findValues(quote, ak, files))),
    ...(certify === undefined || resident === undefined
      ? {}
      : { certify: { public: b64(resident.bytes), ...signed(certify) } }),
    ...eventLogOf(files),
  }
  const bytes = Buffer.from(JSON.stringify(document))
  parseTpmDocument(bytes)
  return bytes
}

function quoteOf(
  { attest, signature }: { readonly attest: string; readonly signature: string },
  values: PcrValues | undefined,
): object {
  return { quote: attest, signature, ...(values === undefined ? {} : { pcrs: pcrValuesJson(values) }) }
}

function endorsementOf(files: readonly TpmFile[], statement: StatementFile, ak: PublicFile): object {
  const endorsements = files.flatMap((file) => {
    const certificate = file.kind === 'public' && has(file, ATTRIBUTE.decrypt) ? certificateOf(files, file) : undefined
    return certificate === undefined ? [] : [{ key: file as PublicFile, certificate }]
  })
  const found = findEndorsement(statement, ak, endorsements)
  return found === undefined ? {} : { ekPublic: b64(found.key.bytes), ekCertificate: found.certificate }
}

function certificateOf(files: readonly TpmFile[], { area: { publicKey } }: PublicFile): string | undefined {
  for (const file of files) {
    if (file.kind !== 'certificate' || basicConstraints(file.certificate)?.ca === true) continue
    if (vendorPublicKey(file.certificate).equals(publicKey)) return b64(file.bytes)
  }
  return undefined
}

function optional(name: string, value: string | undefined): object {
  return value === undefined ? {} : { [name]: value }
}

function eventLogOf(files: readonly TpmFile[]): { readonly eventLog?: string } {
  const log = files.find(({ kind }) => kind === 'log')
  return log === undefined ? {} : { eventLog: b64(log.bytes) }
}

function b64(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('base64')
}
