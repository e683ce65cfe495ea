import { asBuffer, decodeUtf8 } from '../../../base/bytes.ts'
import { AimsError } from '../../../base/errors.ts'
import { isJsonObject, type JsonValue, parseJson } from '../../../base/json.ts'
import { parsePem } from '../../../base/pem.ts'
import type { CollateralFile } from '../../collateral.ts'
import { unwrapText } from '../../packaging.ts'
import { parseRevocationList } from '../../x509/revocation.ts'
import { parseVendorCertificate, type VendorCertificate } from '../../x509/vendor-certificate.ts'
import { findTpmHash, HASH_SIZE } from '../algorithms.ts'
import { readPcrValues } from '../document.ts'
import type { PcrValues } from '../pcrs.ts'
import { parseTpmPublic, type TpmPublic } from '../public-area.ts'
import { malformed } from '../wire.ts'
import { readToolPcrs } from './tool-pcrs.ts'

/** What a file of somebody's attestation turned out to be. */
export type TpmFile = { readonly stem: string; readonly bytes: Uint8Array } & (
  | { readonly kind: 'document' }
  | { readonly kind: 'attest' }
  | { readonly kind: 'signature' }
  | { readonly kind: 'log' }
  | { readonly kind: 'name' }
  | { readonly kind: 'public'; readonly area: TpmPublic }
  | { readonly kind: 'pcrs'; readonly values: PcrValues }
  | { readonly kind: 'quote'; readonly signature: Uint8Array; readonly values: PcrValues }
  | { readonly kind: 'certificate'; readonly certificate: VendorCertificate }
  | { readonly kind: 'list'; readonly issuer: Uint8Array }
)

const MAX_FILE = 1_048_576
const MAGIC = Buffer.from('ff544347', 'hex')
const LOG = Buffer.from('Spec ID Event03\0')
const SIGNATURE = /^00(?:14|16|18)000[bcd4]/

/**
 * Recognises files as TPM tools and clouds write them, by their content: statements, signatures, public areas, PCRs,
 * boot logs, certificates, revocation lists; raw, in hex, base64 or PEM. Nothing is verified.
 *
 * @throws {@link AimsError} `attestation.malformed` for anything else, `attestation.too_large`
 */
export function recogniseTpmFile({ name, bytes }: CollateralFile): readonly TpmFile[] {
  if (bytes.length > MAX_FILE) throw new AimsError('attestation.too_large', 'a file of a TPM has at most 1 MiB')
  const stem = name.replace(/^.*\//, '').replace(/\.[^.]*$/, '')
  const text = decodeUtf8(bytes)?.trim()
  if (text?.startsWith('{') || text?.startsWith('[')) return [{ stem, ...fromJson(bytes, text) }]
  if (text?.includes('-----BEGIN ')) return parsePem(text).map((block) => ({ stem, ...fromBinary(block.bytes) }))
  return [{ stem, ...fromBinary(unwrapText(text ?? '')[0] ?? bytes) }]
}

type Recognised<File = TpmFile> = File extends TpmFile ? Omit<File, 'stem'> : never

function fromBinary(bytes: Uint8Array): Recognised {
  const head = asBuffer(bytes)
  if (head.subarray(0, 4).equals(MAGIC)) return { kind: 'attest', bytes }
  if (head.subarray(32, 48).equals(LOG)) return { kind: 'log', bytes }
  if (head[0] === 0x30 && (head[1] ?? 0) >= 0x80) return fromDer(bytes)
  if (isName(head)) return { kind: 'name', bytes }
  const values = readToolPcrs(bytes)
  if (values !== undefined) return { kind: 'pcrs', bytes, values }
  const isSignature = SIGNATURE.test(head.subarray(0, 4).toString('hex'))
  if (isSignature || [256, 384, 512].includes(head.length)) return { kind: 'signature', bytes }
  return { kind: 'public', bytes, area: parseTpmPublic(bytes) }
}

function fromDer(bytes: Uint8Array): Recognised {
  try {
    return { kind: 'certificate', bytes, certificate: parseVendorCertificate(bytes) }
  } catch (error) {
    if (!AimsError.is(error)) throw error
    return { kind: 'list', bytes, issuer: parseRevocationList(bytes).issuer }
  }
}

// A Name is the id of its hash and a digest: no public area or signature is as short.
function isName(bytes: Buffer): boolean {
  const hash = bytes.length > 2 ? findTpmHash(bytes.readUInt16BE()) : undefined
  return hash !== undefined && bytes.length === 2 + HASH_SIZE[hash]
}

function fromJson(bytes: Uint8Array, text: string): Recognised {
  const value = parseJson(text, { maxLength: MAX_FILE })
  if (Array.isArray(value)) return { kind: 'pcrs', bytes, values: listed(value) }
  if (!isJsonObject(value)) throw malformed('a file is neither an object nor a list')
  if (value.akPublic !== undefined) return { kind: 'document', bytes }
  if (value.message === undefined) return { kind: 'pcrs', bytes, values: readPcrValues(value) }
  // A quote of an Azure machine as its agents pass it on: hex, a bare signature, and all PCRs of SHA-256.
  const { message, signature, pcrs } = value
  return {
    kind: 'quote',
    bytes: hex(message),
    signature: hex(signature),
    values: listed(Array.isArray(pcrs) ? pcrs : []),
  }
}

function listed(digests: readonly JsonValue[]): PcrValues {
  return readPcrValues({ sha256: Object.fromEntries(digests.entries()) })
}

function hex(value: JsonValue | undefined): Buffer {
  if (typeof value !== 'string' || !/^(?:[0-9a-fA-F]{2})+$/.test(value)) throw malformed('a member is not hex')
  return Buffer.from(value, 'hex')
}
