import { TAG } from '../../base/der.ts'
import type { Signer } from '../../base/keys.ts'
import { readSubjectKey, signStructure } from './certificate-writer.ts'

const VERSION_1 = Uint8Array.of(TAG.integer, 1, 0)
const NO_NAME = Uint8Array.of(TAG.sequence, 0)
const NO_ATTRIBUTES = Uint8Array.of(0xa0, 0)

/**
 * Writes a certification request that says nothing but the key, and proves who has it: for a CA that decides about all else itself.
 *
 * @returns PKCS#10, DER
 * @throws {@link AimsError} `key.unsupported` for RSASSA-PSS signers, `x509.weak_key`, `x509.invalid_signature`
 * @see RFC 2986 section 4
 */
export async function createCertificateRequest(signer: Signer): Promise<Uint8Array> {
  const { spki } = readSubjectKey(signer.publicKey)
  return signStructure((to) => {
    const info = to.mark()
    to.raw(NO_ATTRIBUTES)
    to.raw(spki)
    to.raw(NO_NAME)
    to.raw(VERSION_1)
    to.wrap(TAG.sequence, info)
  }, signer)
}
