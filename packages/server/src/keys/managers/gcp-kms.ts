import { createPublicKey, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { KeyManagementServiceClient } from '@google-cloud/kms'
import type { TrustDomain } from 'aims/identifiers'
import {
  asking,
  type CloudFailure,
  cloudPublicKey,
  digestOf,
  invalid,
  lazily,
  loadPackage,
  NAME,
  requireFor,
  scopeOf,
} from './cloud.ts'
import { jwsSignature } from './ecdsa-form.ts'
import type { KeyManager } from './key-manager.ts'
import { CURVES } from './signature.ts'

/** Where the keys are. Credentials come from where the SDK looks for them: file, environment, metadata of the machine. */
export interface GcpKmsOptions {
  /** `projects/P/locations/L/keyRings/R`, which exists. */
  readonly keyRing: string
  /** Keys in an HSM rather than in software of the provider. */
  readonly hsm: boolean
  /** Origin of the service, for private endpoints. Default: the public one. */
  readonly endpoint?: string | undefined
  readonly trustDomain: TrustDomain
}

const SPECS = {
  ES256: 'EC_SIGN_P256_SHA256',
  ES384: 'EC_SIGN_P384_SHA384',
} as const

// Over HTTP the SDK gives the status of HTTP in some cases, and the code of gRPC in others.
const FAILURES: { readonly [code: number]: CloudFailure } = {
  3: 'refused',
  5: 'refused',
  6: 'refused',
  7: 'denied',
  8: 'throttled',
  9: 'refused',
  16: 'denied',
  400: 'refused',
  401: 'denied',
  403: 'denied',
  404: 'refused',
  409: 'refused',
  429: 'throttled',
}
const NOT_FOUND: ReadonlySet<number> = new Set([5, 404])

/** Milliseconds. A version is generated in a moment, in an HSM in some seconds. */
const GENERATION_POLL = 250
const GENERATION_POLLS = 40
/** Milliseconds, of one attempt. The SDK repeats by codes of gRPC alone: we do. */
const CALL = { timeout: 5000, retry: null } as const

const LABEL = `${NAME}-trust-domain`
const DESTROYED = `${NAME}-destroyed`

const ask = asking((error) => (isWithoutCredentials(error) ? 'denied' : (FAILURES[codeOf(error)] ?? 'unavailable')), {
  attempts: 4,
})

/**
 * Keys in Cloud KMS, over its REST interface: each a crypto key of one version, never exported, below the key ring, with the label
 * `aims-trust-domain` (a hash: labels take no dots). References are names of versions. A crypto key cannot be deleted: its
 * version is, and it gets the label `aims-destroyed`.
 *
 * @see Cloud Key Management Service API, v1
 */
export function gcpKmsKeyManager({ keyRing, hsm, endpoint, trustDomain }: GcpKmsOptions): KeyManager {
  const scope = scopeOf(trustDomain)
  const client = lazily(async () => {
    const { KeyManagementServiceClient: Client } = await loadPackage(
      '@google-cloud/kms',
      () => import('@google-cloud/kms'),
    )
    const { hostname, port } = new URL(endpoint ?? 'https://cloudkms.googleapis.com')
    const place = endpoint === undefined ? {} : { apiEndpoint: hostname, port: port === '' ? 443 : Number(port) }
    return new Client({ ...place, fallback: true })
  })
  const use = async <T>(call: (kms: KeyManagementServiceClient) => Promise<T>): Promise<T> => {
    const kms = await client()
    return ask(() => call(kms))
  }

  const publicKey: KeyManager['publicKey'] = async (reference) => {
    const [answer] = await use((kms) => kms.getPublicKey({ name: reference }, CALL))
    return cloudPublicKey(() => createPublicKey(requireFor(reference, answer.name, answer.pem)))
  }
  // The first version of a key is made by and by.
  const generated = async (reference: string): ReturnType<KeyManager['publicKey']> => {
    for (let polls = 1; ; polls += 1) {
      try {
        return await publicKey(reference)
      } catch (error) {
        if (!isFailedPrecondition(causeOf(error)) || polls === GENERATION_POLLS) throw error
      }
      await delay(GENERATION_POLL)
    }
  }

  return {
    name: 'gcp-kms',
    algorithms: ['ES256', 'ES384'],
    async generate(label, alg) {
      const request = {
        parent: keyRing,
        cryptoKeyId: `${NAME}-${label.replaceAll(/[^a-zA-Z0-9]+/g, '-').slice(-20)}-${randomUUID()}`,
        cryptoKey: {
          purpose: 'ASYMMETRIC_SIGN',
          versionTemplate: { algorithm: SPECS[alg], protectionLevel: hsm ? 'HSM' : 'SOFTWARE' },
          labels: { [LABEL]: scope },
        },
      } as const
      const [key] = await use((kms) => kms.createCryptoKey(request, CALL))
      const name = requireFor(`${keyRing}/cryptoKeys/${request.cryptoKeyId}`, key.name, key.name)
      const reference = `${name}/cryptoKeyVersions/1`
      return { reference, publicKey: await generated(reference) }
    },
    async sign(reference, alg, data) {
      const digest = { [CURVES[alg].hash]: digestOf(alg, data) }
      const [answer] = await use((kms) => kms.asymmetricSign({ name: reference, digest }, CALL))
      const signature = requireFor(reference, answer.name, answer.signature)
      if (typeof signature === 'string') throw invalid('a signature of another form')
      return jwsSignature(alg, signature)
    },
    publicKey,
    async list() {
      const filter = `labels.${LABEL}=${scope}`
      const [keys] = await use((kms) => kms.listCryptoKeys({ parent: keyRing, filter }, CALL))
      return keys
        .filter(
          ({ name, labels }) =>
            typeof name === 'string' && labels?.[LABEL] === scope && labels[DESTROYED] === undefined,
        )
        .map(({ name }) => `${name}/cryptoKeyVersions/1`)
    },
    async destroy(reference) {
      try {
        await use((kms) => kms.destroyCryptoKeyVersion({ name: reference }, CALL))
      } catch (error) {
        if (NOT_FOUND.has(codeOf(causeOf(error)))) return
        // Destroyed before, perhaps: the version says so itself.
        if (!isFailedPrecondition(causeOf(error)) || !(await isDestroyed(reference))) throw error
      }
      const name = reference.replace(/\/cryptoKeyVersions\/1$/, '')
      const cryptoKey = { name, labels: { [LABEL]: scope, [DESTROYED]: 'true' } }
      await use((kms) => kms.updateCryptoKey({ cryptoKey, updateMask: { paths: ['labels'] } }, CALL))
    },
    close: async () => (await client.made()?.catch(() => undefined))?.close(),
  }

  async function isDestroyed(reference: string): Promise<boolean> {
    const [{ state }] = await use((kms) => kms.getCryptoKeyVersion({ name: reference }, CALL))
    return state === 'DESTROYED' || state === 'DESTROY_SCHEDULED'
  }
}

function codeOf(error: unknown): number {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'number' ? code : -1
}

function isFailedPrecondition(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return codeOf(error) === 9 || (codeOf(error) === 400 && error.message.includes('"FAILED_PRECONDITION"'))
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined
}

// The library for credentials throws plain errors.
function isWithoutCredentials(error: unknown): boolean {
  return error instanceof Error && /default credentials|No authentication was provided/.test(error.message)
}
