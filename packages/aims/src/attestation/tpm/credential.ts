import { constants, createCipheriv, createECDH, createHmac, publicEncrypt, randomBytes } from 'node:crypto'
import { AimsError } from '../../base/errors.ts'
import { HASH_SIZE } from './algorithms.ts'
import { kdfA, kdfE } from './kdf.ts'
import type { TpmPublic } from './public-area.ts'
import { sized } from './wire.ts'

const CURVE_NAMES = { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' } as const
const NOTHING = Buffer.alloc(0)

/**
 * Wraps a secret so that only the TPM with this endorsement key gives it out, and only when a key with this Name is
 * loaded in it (TPM2_MakeCredential, without a TPM). The result is TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET, one
 * after the other: the parameters of TPM2_ActivateCredential.
 *
 * Does not check either key: `key-rules.ts` does.
 *
 * @param secret - At most as long as a digest of the endorsement key's hash.
 * @throws {@link AimsError} `attestation.unsupported` for an endorsement key that cannot protect credentials
 * @see TPM 2.0 Library, Part 1, section 24 (credential protection)
 */
export function makeCredential(endorsementKey: TpmPublic, keyName: Uint8Array, secret: Uint8Array): Buffer {
  const { nameHash: hash, symmetricBits } = endorsementKey
  if (symmetricBits === undefined) throw new AimsError('attestation.unsupported', 'not a storage key')
  if (secret.length === 0 || secret.length > HASH_SIZE[hash])
    throw new TypeError('the secret has not the size of a digest')
  const { seed, encryptedSeed } = shareSeed(endorsementKey)
  const key = kdfA(hash, seed, 'STORAGE', keyName, symmetricBits)
  const cipher = createCipheriv(`aes-${symmetricBits}-cfb`, key, Buffer.alloc(16))
  const identity = Buffer.concat([cipher.update(sized(secret)), cipher.final()])
  const macKey = kdfA(hash, seed, 'INTEGRITY', NOTHING, HASH_SIZE[hash] * 8)
  const mac = createHmac(hash, macKey).update(identity).update(keyName).digest()
  return Buffer.concat([sized(sized(mac), identity), sized(encryptedSeed)])
}

interface SharedSeed {
  readonly seed: Buffer
  readonly encryptedSeed: Buffer
}

function shareSeed({ nameHash, publicKey, point }: TpmPublic): SharedSeed {
  if (point === undefined) {
    const seed = randomBytes(HASH_SIZE[nameHash])
    const padding = constants.RSA_PKCS1_OAEP_PADDING
    const options = { key: publicKey, padding, oaepHash: nameHash, oaepLabel: Buffer.from('IDENTITY\0') }
    return { seed, encryptedSeed: publicEncrypt(options, seed) }
  }
  const { curve, x, y } = point
  const ephemeral = createECDH(CURVE_NAMES[curve.crv])
  const own = ephemeral.generateKeys()
  const [ownX, ownY] = [own.subarray(1, 1 + curve.size), own.subarray(1 + curve.size)]
  const shared = ephemeral.computeSecret(Buffer.concat([Buffer.of(4), x, y]))
  return {
    seed: kdfE(nameHash, shared, 'IDENTITY', ownX, x),
    encryptedSeed: Buffer.concat([sized(ownX), sized(ownY)]),
  }
}
