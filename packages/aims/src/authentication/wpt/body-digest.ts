import { contentDigest } from '../message-signatures/content-digest.ts'

/**
 * The claim with which our proofs bind the body of a request, beside the claims of the draft. Its value has the form of
 * an RFC 9530 digest: `sha-256=:base64:`.
 *
 * RFC 7519 asks for a name that cannot collide; a UUID is one that no registry, host name or owner is needed for.
 * Verifiers that do not know the claim ignore it.
 *
 * @see RFC 7519 section 4.2; RFC 9530 section 2
 */
export const BODY_DIGEST_CLAIM = 'urn:uuid:81f1ebb5-1cae-4b16-8f93-c41ef76b02fb'

/** The digest of a body as {@link BODY_DIGEST_CLAIM} carries it. */
export function bodyDigest(body: Uint8Array): string {
  return contentDigest(body)
}

/** What a record says was observed where a body did not arrive, or was read before it could be compared. */
export const LOST_BODY = 'no body: it did not arrive, or was read before'
