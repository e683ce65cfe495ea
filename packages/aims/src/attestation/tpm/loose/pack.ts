import { asBuffer, sha256 } from '../../../base/bytes.ts'
import { refuseAs } from '../../../base/errors.ts'
import { encodePem } from '../../../base/pem.ts'
import { type CollateralFile, type CollateralSource, collateralOf } from '../../collateral.ts'
import { vendorPublicKey } from '../../x509/vendor-certificate.ts'
import { basicConstraints } from '../../x509/vendor-chain.ts'
import type { TpmKnownKeys } from '../authenticate.ts'
import { parseTpmDocument } from '../document.ts'
import type { PcrValues } from '../pcrs.ts'
import { ATTRIBUTE, parseTpmPublic } from '../public-area.ts'
import { malformed } from '../wire.ts'
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
 * areas, PCRs, a boot log, certificates, or a document that is whole already. Files are told apart by content, and a
 * signature belongs to the statement with the same name before its dot. Verifies nothing.
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
    evidence: whole === undefined ? assemble([...own, ...given]) : whole.bytes,
    knownKeys: { find: (name) => (names.has(name) ? {} : undefined) },
    collateral: sourceOf(given),
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
    'a file is not one that a TPM, its tools or its vendor write',
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

type PublicFile = Extract<TpmFile, { readonly kind: 'public' }>

function isAttestationKey(file: TpmFile): file is PublicFile {
  return file.kind === 'public' && (file.area.attributes & ATTRIBUTE.decrypt) === 0 && has(file, ATTRIBUTE.restricted)
}

function has({ area }: PublicFile, attribute: number): boolean {
  return (area.attributes & attribute) !== 0
}

function assemble(files: readonly TpmFile[]): Buffer {
  const keys = files.filter((file) => file.kind === 'public')
  const statements = files.filter((file) => file.kind === 'attest' || file.kind === 'quote')
  const ek = keys.find((key) => has(key, ATTRIBUTE.decrypt))
  const resident = keys.find((key) => !has(key, ATTRIBUTE.decrypt) && !has(key, ATTRIBUTE.restricted))
  // A key that is not restricted is refused for that, and not passed over.
  const ak = keys.find(isAttestationKey) ?? resident
  if (ak === undefined) throw malformed('the public area of the attestation key is missing: give the file of it')
  const certified = ak === resident ? undefined : statements.find(isCertify)
  const quote = statements.find((one) => one !== (resident === undefined ? undefined : certified))
  const document = {
    ...(ek === undefined ? {} : { ekPublic: b64(ek.bytes), ...certificateOf(files, ek, 'ekCertificate') }),
    akPublic: b64(ak.bytes),
    ...certificateOf(files, ak, 'akCertificate'),
    ...(quote === undefined ? {} : quoteOf(files, quote)),
    ...(certified === undefined || resident === undefined
      ? {}
      : {
          certify: {
            public: b64(resident.bytes),
            attest: b64(certified.bytes),
            signature: b64(signatureOf(files, certified)),
          },
        }),
    ...eventLogOf(files),
  }
  const bytes = Buffer.from(JSON.stringify(document))
  parseTpmDocument(bytes)
  return bytes
}

function isCertify(file: TpmFile): boolean {
  return file.kind === 'attest' && asBuffer(file.bytes).subarray(4, 6).toString('hex') === '8017'
}

function quoteOf(files: readonly TpmFile[], quote: TpmFile): { readonly [member: string]: unknown } {
  const values = quote.kind === 'quote' ? quote.values : named(files, quote, 'pcrs')?.values
  return {
    quote: b64(quote.bytes),
    signature: b64(signatureOf(files, quote)),
    ...(values === undefined ? {} : { pcrs: pcrsJson(values) }),
  }
}

function signatureOf(files: readonly TpmFile[], statement: TpmFile): Uint8Array {
  if (statement.kind === 'quote') return statement.signature
  const found = named(files, statement, 'signature')
  if (found === undefined) throw malformed('the signature of a statement is missing: give the file of it')
  return found.bytes
}

/** The file of a kind that goes by the same name, or the only one. */
function named<Kind extends TpmFile['kind']>(
  files: readonly TpmFile[],
  { stem }: TpmFile,
  kind: Kind,
): Extract<TpmFile, { readonly kind: Kind }> | undefined {
  const all = files.filter((file): file is Extract<TpmFile, { readonly kind: Kind }> => file.kind === kind)
  return (
    all.find((file) => file.stem === stem || file.stem.startsWith(`${stem}.`)) ??
    (all.length === 1 ? all[0] : undefined)
  )
}

function certificateOf(
  files: readonly TpmFile[],
  { bytes }: PublicFile,
  member: string,
): { readonly [member: string]: string } {
  const { publicKey } = parseTpmPublic(bytes)
  for (const file of files) {
    if (file.kind !== 'certificate' || basicConstraints(file.certificate)?.ca === true) continue
    if (vendorPublicKey(file.certificate).equals(publicKey)) return { [member]: b64(file.bytes) }
  }
  return {}
}

function eventLogOf(files: readonly TpmFile[]): { readonly eventLog?: string } {
  const log = files.find(({ kind }) => kind === 'log')
  return log === undefined ? {} : { eventLog: b64(log.bytes) }
}

function pcrsJson(values: PcrValues): { readonly [bank: string]: { readonly [index: string]: string } } {
  const banks: { [bank: string]: { [index: string]: string } } = {}
  for (const [pcr, value] of values) {
    const [bank = '', index = ''] = pcr.split(':')
    banks[bank] = { ...banks[bank], [index]: asBuffer(value).toString('hex') }
  }
  return banks
}

function b64(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('base64')
}
