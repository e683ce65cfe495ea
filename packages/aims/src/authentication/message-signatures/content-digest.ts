import { createHash, type Hash, hash } from 'node:crypto'
import { equalConstantTime } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { parseDictionary } from '../../base/structured-fields.ts'

/** Digests that count. Those that RFC 9530 calls weak are passed over, as if they were not there. */
export type DigestAlgorithm = 'sha-256' | 'sha-512'

const HASHES: { readonly [algorithm in DigestAlgorithm]: { readonly name: string; readonly bytes: number } } = {
  'sha-256': { name: 'sha256', bytes: 32 },
  'sha-512': { name: 'sha512', bytes: 64 },
}

/** The value of `Content-Digest` for a body, e.g. `sha-256=:...:`. The body is what is sent: compressed, where it is. */
export function contentDigest(body: Uint8Array, algorithm: DigestAlgorithm = 'sha-256'): string {
  return `${algorithm}=:${hash(HASHES[algorithm].name, body, 'base64')}:`
}

/** As {@link contentDigest}, for a body that comes in pieces. */
export async function contentDigestOf(
  chunks: AsyncIterable<Uint8Array>,
  algorithm: DigestAlgorithm = 'sha-256',
): Promise<string> {
  const digest = createHash(HASHES[algorithm].name)
  for await (const chunk of chunks) digest.update(chunk)
  return `${algorithm}=:${digest.digest('base64')}:`
}

/**
 * Compares a body with its `Content-Digest`: every digest that counts must match, and there must be one.
 *
 * @throws {@link AimsError} `signature.digest_mismatch`, `signature.digest_unsupported`, `signature.malformed`
 * @see RFC 9530 section 2
 */
export function checkContentDigest(field: string, body: Uint8Array): void {
  // As nearly everybody writes it, and then there is nothing to parse.
  if (field === contentDigest(body)) return
  for (const [algorithm, expected] of digestsOf(field)) {
    requireEqual(hash(HASHES[algorithm].name, body, 'buffer'), expected)
  }
}

/**
 * The same pieces, and at the end the comparison: without an end that is no error, nothing of it may be believed.
 * Refuses before the first piece when the field itself is of no use.
 *
 * @param options.maxBytes - Refuses a longer body, without reading on.
 * @throws {@link AimsError} as {@link checkContentDigest}, and `authentication.body_too_large`
 */
export async function* checkedBody(
  field: string,
  chunks: AsyncIterable<Uint8Array>,
  options: { readonly maxBytes: number },
): AsyncGenerator<Uint8Array, void> {
  const digests = digestsOf(field).map(([algorithm, expected]): readonly [Hash, Uint8Array] => {
    return [createHash(HASHES[algorithm].name), expected]
  })
  let length = 0
  for await (const chunk of chunks) {
    length += chunk.length
    if (length > options.maxBytes) {
      throw new AimsError('authentication.body_too_large', `the body has more than ${options.maxBytes} bytes`)
    }
    for (const [digest] of digests) digest.update(chunk)
    yield chunk
  }
  for (const [digest, expected] of digests) requireEqual(digest.digest(), expected)
}

function digestsOf(field: string): readonly (readonly [DigestAlgorithm, Uint8Array])[] {
  const digests: (readonly [DigestAlgorithm, Uint8Array])[] = []
  const dictionary = refuseAs('signature.malformed', 'Content-Digest is not a strict dictionary', () =>
    parseDictionary(field, { unique: true }),
  )
  for (const [algorithm, member] of dictionary) {
    if (algorithm !== 'sha-256' && algorithm !== 'sha-512') continue
    const value = member.kind === 'item' && member.value.type === 'bytes' ? member.value.value : undefined
    if (value?.length !== HASHES[algorithm].bytes) {
      throw new AimsError('signature.malformed', 'a digest in Content-Digest has the wrong form')
    }
    digests.push([algorithm, value])
  }
  if (digests.length === 0) {
    throw new AimsError('signature.digest_unsupported', 'Content-Digest has neither sha-256 nor sha-512')
  }
  return digests
}

function requireEqual(found: Uint8Array, expected: Uint8Array): void {
  if (!equalConstantTime(found, expected)) {
    throw new AimsError('signature.digest_mismatch', 'Content-Digest is that of another body')
  }
}
