import { asBuffer } from '../../base/bytes.ts'
import { DerReader, readWholeDer, TAG } from '../../base/der.ts'
import { AimsError } from '../../base/errors.ts'
import { readVendorTime } from '../x509/time.ts'

/** The signed attributes of a CMS signer. */
export interface SignedAttributes {
  /** What the signature is over: the attributes under the tag of a SET (RFC 5652 section 5.4). */
  readonly signed: Uint8Array
  /** Digest of the content. */
  readonly messageDigest: Uint8Array
  /** Seconds since the epoch. */
  readonly signingTime?: number
}

/** OID of content that is bytes. */
export const DATA = '1.2.840.113549.1.7.1'
const CONTENT_TYPE = '1.2.840.113549.1.9.3'
const MESSAGE_DIGEST = '1.2.840.113549.1.9.4'
const SIGNING_TIME = '1.2.840.113549.1.9.5'
const ALGORITHM_PROTECTION = '1.2.840.113549.1.9.52'
const KNOWN: ReadonlySet<string> = new Set([CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME, ALGORITHM_PROTECTION])

/**
 * Reads the attributes that these sources sign: content type, message digest, signing time, algorithm protection, each
 * once with one value. The algorithms that are protected must be those beside the signature.
 *
 * @param element - `[0] IMPLICIT SET OF Attribute`, whole.
 * @throws {@link AimsError} `attestation.malformed`, `der.*`
 * @see RFC 5652 section 11; RFC 6211
 */
export function readSignedAttributes(
  element: Uint8Array,
  digestAlgorithm: Uint8Array,
  signatureAlgorithm: Uint8Array,
): SignedAttributes {
  const values = readAttributes(DerReader.of(element).enter(0xa0))
  const contentType = values.get(CONTENT_TYPE)
  const messageDigest = values.get(MESSAGE_DIGEST)
  if (contentType === undefined || messageDigest === undefined) throw malformed('a signed attribute is missing')
  if (readWholeDer(contentType, (value) => value.oid()) !== DATA) throw malformed('the signed content type is not data')
  const protection = values.get(ALGORITHM_PROTECTION)
  if (protection !== undefined) checkProtection(protection, digestAlgorithm, signatureAlgorithm)
  const signingTime = values.get(SIGNING_TIME)
  const signed = Buffer.from(element)
  signed[0] = TAG.set
  return {
    signed,
    messageDigest: readWholeDer(messageDigest, (value) => value.octetString()),
    ...(signingTime === undefined ? {} : { signingTime: readWholeDer(signingTime, readVendorTime) }),
  }
}

function readAttributes(list: DerReader): ReadonlyMap<string, Uint8Array> {
  const values = new Map<string, Uint8Array>()
  while (!list.isAtEnd) {
    const attribute = list.enter(TAG.sequence)
    const oid = attribute.oid()
    const set = attribute.enter(TAG.set)
    attribute.end()
    if (!KNOWN.has(oid) || values.has(oid)) throw malformed('a signed attribute is unknown or repeated')
    values.set(oid, set.element())
    set.end()
  }
  return values
}

function checkProtection(element: Uint8Array, digestAlgorithm: Uint8Array, signatureAlgorithm: Uint8Array): void {
  const fields = DerReader.of(element).enter(TAG.sequence)
  const digest = fields.element(TAG.sequence)
  const signature = fields.element(0xa1)
  fields.end()
  // [1] IMPLICIT: the same content under another tag.
  const same =
    asBuffer(digest).equals(digestAlgorithm) && asBuffer(signature.subarray(1)).equals(signatureAlgorithm.subarray(1))
  if (!same) throw malformed('the protected algorithms are not those of the signature')
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
