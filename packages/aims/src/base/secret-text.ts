import { sha256Base64url } from './bytes.ts'

// A compact JWS or JWE is a base64url run that begins like a JSON object, and two more. A PEM block. A bearer header. A join token.
const SECRET =
  /(?<![\w-])(?:eyJ|eyA|ewo[gJ]|ew0K)[\w-]{8,}\.[\w-]*\.[\w-]*|-----BEGIN [A-Z0-9 ]+-----|\b[Bb]earer [\w.~+/-]{16,}|aims_join_[\w-]{16,}/
const EVERY_SECRET = new RegExp(SECRET, 'g')

/** True when a text looks as if it had a token or a key in it. */
export function hasSecret(text: string): boolean {
  return SECRET.test(text)
}

/**
 * Writes what looks like a token or a key as its hash. For words of others that go into a record: the log refuses
 * secrets, and without this a caller could keep its refusal out of the log by putting one into its path.
 */
export function withoutSecrets(text: string): string {
  return text.replace(EVERY_SECRET, (secret) => `~sha256:${sha256Base64url(secret)}`)
}
