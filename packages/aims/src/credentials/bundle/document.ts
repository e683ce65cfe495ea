import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import { DuplicateMemberError, isJsonObject, type JsonObject, parseJsonObject } from '../../base/json.ts'
import { refusePrivateMembers } from '../../base/jwk.ts'

/** Caps on one document, as received. */
const MAX_BYTES = 1024 * 1024
const MAX_MEMBERS = 50_000
const MAX_KEYS = 256

/** Where the names of trust domains stand in a bundle map: inside the object inside the document. */
const MAP_DEPTH = 2

/** Reads the JSON of a bundle, bundle map or JWK Set. @throws {@link AimsError} `bundle.malformed`, `.too_large`, `.duplicate_trust_domain` */
export function readDocument(json: string | Uint8Array): JsonObject {
  try {
    return parseJsonObject(json, { maxLength: MAX_BYTES, maxMembers: MAX_MEMBERS })
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new AimsError(codeFor(cause), cause.message, { cause })
  }
}

function codeFor(cause: AimsError): AimsErrorCode {
  if (cause.code === 'json.too_large') return 'bundle.too_large'
  // In a bundle this depth is that of a JWK, which sits in an array and so one deeper: the two are not confused.
  const inMap = cause instanceof DuplicateMemberError && cause.depth === MAP_DEPTH
  return inMap ? 'bundle.duplicate_trust_domain' : 'bundle.malformed'
}

/**
 * Reads `keys`: objects only, none with private members. Private material that was published by mistake is refused
 * loudly, so that somebody notices.
 *
 * @throws {@link AimsError} `bundle.missing_keys`, `.malformed`, `.too_large`, `.private_key`
 */
export function readKeys(document: JsonObject): readonly JsonObject[] {
  const { keys } = document
  if (keys === undefined) throw new AimsError('bundle.missing_keys', 'the member keys is absent')
  if (!Array.isArray(keys) || !keys.every(isJsonObject)) {
    throw new AimsError('bundle.malformed', 'keys is not a list of objects')
  }
  if (keys.length > MAX_KEYS) throw new AimsError('bundle.too_large', `more than ${MAX_KEYS} keys`)
  for (const jwk of keys) {
    try {
      refusePrivateMembers(jwk)
    } catch (cause) {
      throw new AimsError('bundle.private_key', 'a key of the bundle has private members', { cause })
    }
  }
  return keys
}
