import { type KeyObject, verify } from 'node:crypto'
import { type CborMap, type CborValue, decodeCbor, isCborMap } from '../../base/cbor.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'

/** A COSE_Sign1 message, read and NOT verified. */
export interface UnverifiedSign1 {
  readonly protected: Uint8Array
  readonly payload: Uint8Array
  readonly signature: Uint8Array
}

const ALG = 1
const ES384 = -35
const ES384_SIGNATURE = 96

/**
 * Reads an untagged COSE_Sign1 that is signed with ES384: the protected header says that and nothing else, the
 * unprotected header is empty, the payload is inside.
 *
 * Does not verify anything.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported` for another algorithm
 * @see RFC 9052 section 4.2
 */
export function parseSign1(bytes: Uint8Array): UnverifiedSign1 {
  const message = decodeStrictly(bytes)
  if (!Array.isArray(message) || message.length !== 4) throw malformed('not a COSE_Sign1 array of four')
  const [header, unprotected, payload, signature] = message
  if (!(header instanceof Uint8Array && payload instanceof Uint8Array && signature instanceof Uint8Array)) {
    throw malformed('header, payload and signature are byte strings')
  }
  if (!isCborMap(unprotected) || unprotected.size !== 0) throw malformed('the unprotected header is not empty')
  const fields = decodeEvidenceMap(header)
  if (fields.get(ALG) !== ES384) throw new AimsError('attestation.unsupported', 'the algorithm is not ES384')
  if (fields.size !== 1) throw malformed('the protected header has more than the algorithm')
  if (signature.length !== ES384_SIGNATURE) throw malformed('a signature of ES384 has 96 bytes')
  return { protected: header, payload, signature }
}

/** True when the key, which must be on P-384, signed this message. */
export function verifySign1(message: UnverifiedSign1, key: KeyObject): boolean {
  if (key.asymmetricKeyDetails?.namedCurve !== 'secp384r1') return false
  const structure = Buffer.concat([
    Buffer.of(0x84, 0x6a),
    Buffer.from('Signature1'),
    byteString(message.protected),
    byteString(new Uint8Array()),
    byteString(message.payload),
  ])
  return verify('sha384', structure, { key, dsaEncoding: 'ieee-p1363' }, message.signature)
}

function decodeStrictly(bytes: Uint8Array): CborValue {
  return refuseAs('attestation.malformed', 'the evidence is not strict CBOR', () =>
    decodeCbor(bytes, { maxDepth: 4, maxItems: 256 }),
  )
}

/** Strict CBOR of evidence that must be a map. */
export function decodeEvidenceMap(bytes: Uint8Array): CborMap {
  const map = decodeStrictly(bytes)
  if (!isCborMap(map)) throw malformed('not a CBOR map')
  return map
}

function byteString(bytes: Uint8Array): Buffer {
  const { length } = bytes
  const head = length < 24 ? [0x40 | length] : length < 256 ? [0x58, length] : [0x59, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(head), bytes])
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
