import type { KeyObject } from 'node:crypto'
import { AimsError, type JwsAlgorithm, jwkThumbprint, type Signer } from 'aims/base'
import { isSignatureOf } from './signature.ts'

/** Algorithms that authorities sign with. */
export type ManagedAlgorithm = Extract<JwsAlgorithm, 'ES256' | 'ES384'>

/** A key in a key manager: what it is called there, and its public half. */
export interface ManagedKey {
  /** Finds it again; at most 256 characters. It is no secret. */
  readonly reference: string
  readonly publicKey: KeyObject
}

/**
 * Holds private keys that never leave it: an HSM, or the KMS of a cloud. A driver does no more than these five things; deadlines
 * and the check of what it answers are {@link managedSigner}'s matter.
 *
 * Drivers throw {@link AimsError} `operation.key_manager_unavailable` when the manager cannot be reached or does not let this
 * server in, and `operation.key_manager_refused` when it answers no.
 */
export interface KeyManager {
  /** Of its kind, e.g. `pkcs11`: stored beside the reference of a key. */
  readonly name: string
  readonly algorithms: readonly ManagedAlgorithm[]
  /** Makes a key that cannot be exported. `label` is for people who look into the manager. */
  generate(label: string, alg: ManagedAlgorithm): Promise<ManagedKey>
  /** Signs; ECDSA signatures are r and s side by side (JWS form). */
  sign(reference: string, alg: ManagedAlgorithm, data: Uint8Array): Promise<Uint8Array>
  publicKey(reference: string): Promise<KeyObject>
  /** References of the keys that this server's driver has made, of old runs too. */
  list(): Promise<readonly string[]>
  /** Removes a key for good. One that is not there is no error. */
  destroy(reference: string): Promise<void>
  close(): Promise<void>
}

/** A signer whose key is elsewhere. */
export interface ManagedSigner extends Signer {
  readonly alg: ManagedAlgorithm
  readonly kid: string
  readonly reference: string
  readonly manager: string
}

/**
 * A signer over a key in a manager. Each signature is verified with the public key before anybody gets it, and one that takes
 * longer than `timeout` milliseconds is given up: nothing is issued then.
 *
 * Its `sign` rejects with {@link AimsError} `operation.key_manager_timeout`, `operation.key_manager_invalid`, and what the driver throws.
 */
export function managedSigner(
  manager: KeyManager,
  { reference, publicKey }: ManagedKey,
  { alg, timeout }: { readonly alg: ManagedAlgorithm; readonly timeout: number },
): ManagedSigner {
  return {
    alg,
    kid: jwkThumbprint(publicKey),
    publicKey,
    reference,
    manager: manager.name,
    async sign(data) {
      const signature = await within(timeout, manager.sign(reference, alg, data))
      if (!isSignatureOf(alg, publicKey, data, signature)) {
        throw new AimsError('operation.key_manager_invalid', 'the signature of the key manager does not verify')
      }
      return signature
    },
  }
}

/** Makes a key and has it sign once, so that a key that cannot be used is found out before it is published. */
export async function generateManaged(
  manager: KeyManager,
  label: string,
  options: { readonly alg: ManagedAlgorithm; readonly timeout: number },
): Promise<ManagedSigner> {
  const { alg, timeout } = options
  if (!manager.algorithms.includes(alg)) {
    throw new AimsError('operation.key_manager_refused', 'the key manager has no keys of this algorithm')
  }
  const key = await within(timeout, manager.generate(label, alg))
  const signer = managedSigner(manager, key, options)
  try {
    await signer.sign(Buffer.from('aims key check'))
  } catch (error) {
    await within(timeout, manager.destroy(key.reference)).catch(() => undefined)
    throw error
  }
  return signer
}

/** @throws {@link AimsError} `operation.key_manager_timeout`, and what `work` throws */
export async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const error = () => reject(new AimsError('operation.key_manager_timeout', 'the key manager did not answer in time'))
    timer = setTimeout(error, milliseconds)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
