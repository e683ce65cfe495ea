import { asBuffer } from '../../../base/bytes.ts'
import { AimsError } from '../../../base/errors.ts'
import { parseTpmAttest } from '../attest.ts'
import { checkQuotedValues, type PcrValues } from '../pcrs.ts'
import { ATTRIBUTE, type TpmScheme } from '../public-area.ts'
import { isBelowEndorsementKey } from '../qualified-name.ts'
import { checkTpmSignature } from '../signature.ts'
import { malformed } from '../wire.ts'
import type { TpmFile } from './recognise.ts'

/** A public area. */
export type PublicFile = Extract<TpmFile, { readonly kind: 'public' }>

/** Restricted, and not for decryption. */
export function isAttestationKey(file: TpmFile): file is PublicFile {
  return file.kind === 'public' && (file.area.attributes & ATTRIBUTE.decrypt) === 0 && has(file, ATTRIBUTE.restricted)
}

export function has({ area }: PublicFile, attribute: number): boolean {
  return (area.attributes & attribute) !== 0
}

/** A statement of a TPM. */
export type StatementFile = Extract<TpmFile, { readonly kind: 'attest' | 'quote' }>

export function isStatement(file: TpmFile): file is StatementFile {
  return file.kind === 'attest' || file.kind === 'quote'
}

/** A certified key, not a quote. */
export function isCertify({ bytes }: StatementFile): boolean {
  return asBuffer(bytes).subarray(4, 6).toString('hex') === '8017'
}

/** A quote and a certified key that were made for one challenge. */
export function belongsTo(one: StatementFile, subject: StatementFile): boolean {
  const [a, b] = [one, subject].map(({ bytes }) => attempt(() => parseTpmAttest(bytes)))
  return a !== undefined && b !== undefined && a.type !== b.type && a.extraData.equals(b.extraData)
}

/** The key and signature that fit, or the first ones: then the verifier says what is wrong with them. */
export function findSigner(
  statement: StatementFile,
  keys: readonly PublicFile[],
  files: readonly TpmFile[],
): { readonly ak: PublicFile; readonly signature: Uint8Array } {
  const candidates = [...keys.filter(isAttestationKey), ...keys.filter((key) => !has(key, ATTRIBUTE.decrypt))]
  const signatures = statement.kind === 'quote' ? [statement.signature] : signaturesFor(statement, files)
  for (const ak of candidates) {
    const { publicKey, scheme } = ak.area
    for (const signature of scheme === undefined ? [] : signatures.slice(0, MAX_SIGNATURES)) {
      const fits = attempt(() => [
        checkTpmSignature({ publicKey, scheme: scheme as TpmScheme }, statement.bytes, signature),
      ])
      if (fits !== undefined) return { ak, signature }
    }
  }
  const [[ak], [signature]] = [candidates, signatures]
  if (ak === undefined) throw malformed('the public area of the attestation key is missing: give the file of it')
  if (signature === undefined) throw malformed('the signature of a statement is missing: give the file of it')
  return { ak, signature }
}

const MAX_SIGNATURES = 16

function signaturesFor({ stem }: TpmFile, files: readonly TpmFile[]): readonly Uint8Array[] {
  const all = files.filter(({ kind }) => kind === 'signature')
  return all.toSorted((a, b) => Number(b.stem === stem) - Number(a.stem === stem)).map(({ bytes }) => bytes)
}

/** The values that fit a quote, or the first ones. */
export function findValues(
  quote: StatementFile,
  { area }: PublicFile,
  files: readonly TpmFile[],
): PcrValues | undefined {
  if (quote.kind === 'quote') return quote.values
  const all = files.filter((file) => file.kind === 'pcrs').map(({ values }) => values)
  const attest = attempt(() => parseTpmAttest(quote.bytes))
  if (attest?.type !== 'quote') return all[0]
  const hash = area.scheme?.hash ?? 'sha256'
  return all.find((values) => attempt(() => [checkQuotedValues(values, attest, hash)]) !== undefined) ?? all[0]
}

/** The key with this certificate that the statement names as the parent of its signer, or the first one. */
export function findEndorsement(
  { bytes }: StatementFile,
  ak: PublicFile,
  endorsements: readonly Endorsement[],
): Endorsement | undefined {
  const signer = attempt(() => parseTpmAttest(bytes))?.qualifiedSigner ?? Buffer.alloc(0)
  return endorsements.find(({ key }) => isBelowEndorsementKey(signer, key.area, ak.area)) ?? endorsements[0]
}

/** An endorsement key that has a certificate. */
export interface Endorsement {
  readonly key: PublicFile
  readonly certificate: string
}

function attempt<T>(run: () => T): T | undefined {
  try {
    return run()
  } catch (error) {
    if (AimsError.is(error)) return undefined
    throw error
  }
}
