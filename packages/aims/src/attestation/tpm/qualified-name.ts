import { createHash } from 'node:crypto'
import { asBuffer } from '../../base/bytes.ts'
import type { TpmPublic } from './public-area.ts'
import { u32 } from './wire.ts'

const ENDORSEMENT = u32(0x4000_000b)

/**
 * What a TPM calls a key that lives directly below an endorsement key: the Names of both are in it. A statement names its
 * signer so, and a restricted key cannot be made to say otherwise.
 *
 * @see TPM 2.0 Library, Part 1, section 26.5 (qualified names)
 */
export function isBelowEndorsementKey(qualifiedSigner: Uint8Array, ek: TpmPublic, ak: TpmPublic): boolean {
  return asBuffer(qualifiedSigner).equals(qualify(qualify(ENDORSEMENT, ek), ak))
}

function qualify(parent: Uint8Array, { name, nameHash }: TpmPublic): Buffer {
  const digest = createHash(nameHash).update(parent).update(name).digest()
  return Buffer.concat([name.subarray(0, 2), digest])
}
