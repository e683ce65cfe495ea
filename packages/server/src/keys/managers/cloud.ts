import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { AimsError, sha256 } from 'aims/base'
import type { TrustDomain } from 'aims/identifiers'
import type { ManagedAlgorithm } from './key-manager.ts'
import { CURVES } from './signature.ts'

/** What a cloud says when it does not do what was asked, whatever its words for it are. */
export type CloudFailure = keyof typeof FAILURES

const FAILURES = {
  denied: ['operation.key_manager_denied', 'the key manager does not let this server do that'],
  throttled: ['operation.key_manager_throttled', 'the key manager takes no more requests for now'],
  refused: ['operation.key_manager_refused', 'the key manager refuses: the key is gone, disabled, or not for this'],
  unavailable: ['operation.key_manager_unavailable', 'the key manager cannot be reached'],
} as const

/** Names the making and the tags of keys. */
export const NAME = 'aims'

/** Milliseconds before the second attempt; twice that before the third. */
const BACKOFF = 100

/**
 * Turns what an SDK throws into one of our codes. Its message stays in `cause`: it may name accounts.
 *
 * @param options.attempts - How often a throttled call is made, where the SDK does not repeat it by itself. Default 1.
 */
export function asking(
  classify: (error: unknown) => CloudFailure,
  { attempts = 1 }: { readonly attempts?: number } = {},
): <T>(call: () => Promise<T>) => Promise<T> {
  return async (call) => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await call()
      } catch (cause) {
        if (AimsError.is(cause)) throw cause
        const failure = classify(cause)
        const [code, message] = FAILURES[failure]
        if (failure !== 'throttled' || attempt >= attempts) throw new AimsError(code, message, { cause })
      }
      await delay(BACKOFF * 2 ** (attempt - 1) * (0.5 + Math.random()))
    }
  }
}

/** Loads a package that is installed only where it is needed. @throws {@link AimsError} `operation.key_manager_unavailable` */
export async function loadPackage<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    throw new AimsError('operation.key_manager_unavailable', `${name} cannot be loaded: install it`, { cause })
  }
}

/** Makes something at its first use. What failed is tried again at the next. */
export function lazily<T>(make: () => Promise<T>): { (): Promise<T>; readonly made: () => Promise<T> | undefined } {
  let made: Promise<T> | undefined
  const get = (): Promise<T> => {
    made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    })
    return made
  }
  return Object.assign(get, { made: () => made })
}

/** Tells the keys of one trust domain from those of others, where names take neither dots nor 255 characters. */
export function scopeOf(trustDomain: TrustDomain): string {
  return sha256(Buffer.from(trustDomain)).toString('hex').slice(0, 32)
}

/** What clouds sign: they get the digest alone. */
export function digestOf(alg: ManagedAlgorithm, data: Uint8Array): Buffer {
  return createHash(CURVES[alg].hash).update(data).digest()
}

/** A public key of one of our curves. @throws {@link AimsError} `operation.key_manager_invalid` */
export function cloudPublicKey(make: () => KeyObject): KeyObject {
  let key: KeyObject
  try {
    key = make()
  } catch (cause) {
    throw invalid('a public key that cannot be read', cause)
  }
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (!Object.values(CURVES).some((one) => one.curve === curve)) throw invalid('a key of another type')
  return key
}

/** The same from SubjectPublicKeyInfo. */
export function publicKeyOfSpki(der: Uint8Array): KeyObject {
  return cloudPublicKey(() => createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' }))
}

/** What a cloud must give, and for the key that was asked about. @throws {@link AimsError} `operation.key_manager_invalid` */
export function requireFor<T>(reference: string, named: string | null | undefined, value: T | null | undefined): T {
  if (named !== reference) throw invalid('an answer about another key')
  if (value === null || value === undefined) throw invalid('an answer without what was asked for')
  return value
}

export function invalid(what: string, cause?: unknown): AimsError {
  return new AimsError('operation.key_manager_invalid', `the key manager gave ${what}`, { cause })
}
