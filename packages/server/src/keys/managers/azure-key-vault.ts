import { createPublicKey, randomUUID } from 'node:crypto'
import type { CryptographyClient, KeyClient } from '@azure/keyvault-keys'
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
} from './cloud.ts'
import type { KeyManager } from './key-manager.ts'

/** Where the keys are. Credentials: those of the environment, of a workload identity, or the managed identity of the machine. */
export interface AzureKeyVaultOptions {
  /** `https://NAME.vault.azure.net`, or the address of a managed HSM. */
  readonly vault: string
  /** Keys in an HSM rather than in software of the provider. */
  readonly hsm: boolean
  /** Where tokens are asked for in a cloud of one's own; it is taken as it is and not looked up. Default: that of Azure. */
  readonly authority?: string | undefined
  readonly trustDomain: TrustDomain
}

const CURVE_NAMES = { ES256: 'P-256', ES384: 'P-384' } as const

const FAILURES: { readonly [status: number]: CloudFailure } = {
  400: 'refused',
  401: 'denied',
  403: 'denied',
  404: 'refused',
  409: 'refused',
  429: 'throttled',
}
// With 403 the vault also says that a key is not in use.
const UNUSABLE: ReadonlySet<unknown> = new Set(['KeyDisabled', 'KeyExpired', 'KeyNotYetValid'])
const NO_TOKEN = /^(?:Authentication|AggregateAuthentication|CredentialUnavailable)/
/** Milliseconds. */
const RETRIES = { retryOptions: { maxRetries: 3, retryDelayInMs: 100, maxRetryDelayInMs: 1000 } }
const TAG = `${NAME}-trust-domain`

// The SDK waits where the vault says how long; where it does not, this does.
const ask = asking(classify, { attempts: 4 })

/**
 * Keys in Azure Key Vault or a managed HSM: made there, not exportable, with the tag `aims-trust-domain`. References are identifiers of
 * key versions. Deletion follows the vault: a deleted key can be recovered until the vault purges it, and signs nothing meanwhile.
 *
 * @see Azure Key Vault REST API, keys
 */
export function azureKeyVaultKeyManager({ vault, hsm, authority, trustDomain }: AzureKeyVaultOptions): KeyManager {
  const signers = new Map<string, CryptographyClient>()
  const client = lazily(async () => {
    const { KeyClient: Client } = await loadPackage('@azure/keyvault-keys', () => import('@azure/keyvault-keys'))
    return new Client(vault, await credentials(authority), RETRIES)
  })
  const use = async <T>(call: (keys: KeyClient) => Promise<T>): Promise<T> => {
    const keys = await client()
    return ask(() => call(keys))
  }
  const signerOf = (keys: KeyClient, reference: string): CryptographyClient => {
    const { name, version } = parseReference(reference, vault)
    const known = signers.get(reference) ?? keys.getCryptographyClient(name, { keyVersion: version })
    signers.set(reference, known)
    return known
  }

  return {
    name: 'azure-key-vault',
    algorithms: ['ES256', 'ES384'],
    async generate(label, alg) {
      const name = `${NAME}-${randomUUID()}`
      const tags = { [TAG]: trustDomain, [`${NAME}-key`]: label }
      const options = { curve: CURVE_NAMES[alg], hsm, exportable: false, keyOps: ['sign', 'verify'], tags }
      const made = await use((keys) => keys.createEcKey(name, options))
      const reference = requireFor(name, made.name, made.id)
      return { reference, publicKey: publicKeyOf(made.key) }
    },
    async sign(reference, alg, data) {
      const { result } = await use((keys) => signerOf(keys, reference).sign(alg, digestOf(alg, data)))
      return result
    },
    async publicKey(reference) {
      const { name, version } = parseReference(reference, vault)
      const { id, key } = await use((keys) => keys.getKey(name, { version }))
      return publicKeyOf(requireFor(reference, id, key))
    },
    list: () =>
      use(async (keys) => {
        const references: string[] = []
        for await (const { name, tags } of keys.listPropertiesOfKeys()) {
          if (tags?.[TAG] !== trustDomain) continue
          for await (const { id } of keys.listPropertiesOfKeyVersions(name)) if (id !== undefined) references.push(id)
        }
        return references
      }),
    async destroy(reference) {
      const { name } = parseReference(reference, vault)
      signers.delete(reference)
      try {
        await use((keys) => keys.beginDeleteKey(name))
      } catch (error) {
        if (statusOf(error instanceof Error ? error.cause : undefined) !== 404) throw error
      }
    },
    close: async () => signers.clear(),
  }
}

// Those meant for programs that run by themselves. Developer tools of the machine are not asked.
async function credentials(authority: string | undefined): Promise<ConstructorParameters<typeof KeyClient>[1]> {
  const identity = await loadPackage('@azure/identity', () => import('@azure/identity'))
  const place = authority === undefined ? {} : { authorityHost: authority, disableInstanceDiscovery: true }
  const sources = [new identity.EnvironmentCredential(place)]
  const federated =
    process.env.AZURE_FEDERATED_TOKEN_FILE === undefined ? [] : [new identity.WorkloadIdentityCredential(place)]
  return new identity.ChainedTokenCredential(...sources, ...federated, new identity.ManagedIdentityCredential())
}

function publicKeyOf(jwk: { readonly crv?: string; readonly x?: Uint8Array; readonly y?: Uint8Array } | undefined) {
  const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('base64url')
  return cloudPublicKey(() => {
    const { crv = '', x, y } = jwk ?? {}
    return createPublicKey({ key: { kty: 'EC', crv, x: text(x), y: text(y) }, format: 'jwk' })
  })
}

function parseReference(reference: string, vault: string): { readonly name: string; readonly version: string } {
  const [origin, keys, name, version, ...rest] = reference.replace('https://', '').split('/')
  if (
    `https://${origin}` !== vault ||
    keys !== 'keys' ||
    name === undefined ||
    version === undefined ||
    rest.length > 0
  ) {
    throw invalid('a key of another vault')
  }
  return { name, version }
}

function classify(error: unknown): CloudFailure {
  if (error instanceof Error && NO_TOKEN.test(error.name)) return 'denied'
  return UNUSABLE.has(innerCode(error)) ? 'refused' : (FAILURES[statusOf(error)] ?? 'unavailable')
}

function statusOf(error: unknown): number {
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  return typeof status === 'number' ? status : 0
}

function innerCode(error: unknown): unknown {
  return memberOf(memberOf(memberOf(memberOf(error, 'details'), 'error'), 'innerError'), 'code')
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}
