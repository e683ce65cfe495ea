import { randomUUID } from 'node:crypto'
import type { KMS } from '@aws-sdk/client-kms'
import type { TrustDomain } from 'aims/identifiers'
import {
  asking,
  type CloudFailure,
  digestOf,
  invalid,
  lazily,
  loadPackage,
  NAME,
  publicKeyOfSpki,
  requireFor,
  scopeOf,
} from './cloud.ts'
import { jwsSignature } from './ecdsa-form.ts'
import type { KeyManager } from './key-manager.ts'

/** Where the keys are. Credentials come from where the SDK looks for them: environment, profile, role of the machine. */
export interface AwsKmsOptions {
  readonly region: string
  /** Origin of the service, for VPC endpoints. Default: the public one of the region. */
  readonly endpoint?: string | undefined
  readonly trustDomain: TrustDomain
}

const SPECS = {
  ES256: { KeySpec: 'ECC_NIST_P256', SigningAlgorithm: 'ECDSA_SHA_256' },
  ES384: { KeySpec: 'ECC_NIST_P384', SigningAlgorithm: 'ECDSA_SHA_384' },
} as const

// The shortest that AWS allows. Meanwhile the key signs nothing.
const DELETION_DAYS = 7
const ATTEMPTS = 3
/** Milliseconds, of one attempt. */
const REQUEST = { connectionTimeout: 3000, requestTimeout: 5000 } as const

const FAILURES: { readonly [name: string]: CloudFailure } = {
  AccessDeniedException: 'denied',
  UnrecognizedClientException: 'denied',
  InvalidSignatureException: 'denied',
  IncompleteSignatureException: 'denied',
  MissingAuthenticationTokenException: 'denied',
  ExpiredTokenException: 'denied',
  CredentialsProviderError: 'denied',
  ThrottlingException: 'throttled',
  LimitExceededException: 'throttled',
  NotFoundException: 'refused',
  DisabledException: 'refused',
  KMSInvalidStateException: 'refused',
  InvalidKeyUsageException: 'refused',
  InvalidArnException: 'refused',
  UnsupportedOperationException: 'refused',
  ValidationException: 'refused',
  TagException: 'refused',
}

const ask = asking((error) => FAILURES[nameOf(error)] ?? 'unavailable')

/**
 * Keys in AWS KMS: made there, never exported. Each has the tag `aims-trust-domain`, by which a policy can keep other servers away,
 * and an alias below `alias/aims/`, by which this server finds it again. References are ARNs of keys.
 *
 * @see AWS Key Management Service API Reference, 2014-11-01
 */
export function awsKmsKeyManager({ region, endpoint, trustDomain }: AwsKmsOptions): KeyManager {
  const prefix = `alias/${NAME}/${scopeOf(trustDomain)}/`
  const client = lazily(async () => {
    const { KMS: Client } = await loadPackage('@aws-sdk/client-kms', () => import('@aws-sdk/client-kms'))
    const place = endpoint === undefined ? { region } : { region, endpoint }
    return new Client({ ...place, maxAttempts: ATTEMPTS, requestHandler: REQUEST })
  })
  const use = async <T>(call: (kms: KMS) => Promise<T>): Promise<T> => {
    const kms = await client()
    return ask(() => call(kms))
  }

  const publicKey: KeyManager['publicKey'] = async (reference) => {
    const answer = await use((kms) => kms.getPublicKey({ KeyId: reference }))
    const der = requireFor(reference, answer.KeyId, answer.PublicKey)
    if (answer.KeyUsage !== 'SIGN_VERIFY') throw invalid('a key of another type')
    return publicKeyOfSpki(der)
  }
  const schedule = async (reference: string): Promise<void> => {
    await use((kms) => kms.scheduleKeyDeletion({ KeyId: reference, PendingWindowInDays: DELETION_DAYS }))
  }
  // Aliases of ours with the keys that they lead to; of one key, or of all.
  const aliases = async (reference?: string): Promise<readonly { readonly alias: string; readonly key: string }[]> => {
    const found: { alias: string; key: string }[] = []
    for (let marker: string | undefined; ; ) {
      const page = {
        ...(marker === undefined ? {} : { Marker: marker }),
        ...(reference === undefined ? {} : { KeyId: reference }),
      }
      const { Aliases = [], Truncated, NextMarker } = await use((kms) => kms.listAliases(page))
      for (const { AliasName: alias = '', AliasArn: arn = '', TargetKeyId: key } of Aliases) {
        if (!alias.startsWith(prefix) || key === undefined || !arn.endsWith(alias)) continue
        found.push({ alias, key: `${arn.slice(0, -alias.length)}key/${key}` })
      }
      if (Truncated !== true || NextMarker === undefined) return found
      marker = NextMarker
    }
  }

  return {
    name: 'aws-kms',
    algorithms: ['ES256', 'ES384'],
    async generate(label, alg) {
      const { KeyMetadata } = await use((kms) =>
        kms.createKey({
          KeySpec: SPECS[alg].KeySpec,
          KeyUsage: 'SIGN_VERIFY',
          Description: `${NAME} ${label}`,
          Tags: [{ TagKey: `${NAME}-trust-domain`, TagValue: trustDomain }],
        }),
      )
      const reference = KeyMetadata?.Arn
      if (reference === undefined) throw invalid('a key without a name')
      try {
        await use((kms) => kms.createAlias({ AliasName: `${prefix}${randomUUID()}`, TargetKeyId: reference }))
        return { reference, publicKey: await publicKey(reference) }
      } catch (error) {
        await schedule(reference).catch(() => undefined)
        throw error
      }
    },
    async sign(reference, alg, data) {
      const { KeyId, Signature } = await use((kms) =>
        kms.sign({
          KeyId: reference,
          Message: digestOf(alg, data),
          MessageType: 'DIGEST',
          SigningAlgorithm: SPECS[alg].SigningAlgorithm,
        }),
      )
      return jwsSignature(alg, requireFor(reference, KeyId, Signature))
    },
    publicKey,
    list: async () => (await aliases()).map(({ key }) => key),
    async destroy(reference) {
      try {
        await schedule(reference)
      } catch (error) {
        // Not there, or to be deleted already.
        const { cause } = error instanceof Error ? error : {}
        if (!['NotFoundException', 'KMSInvalidStateException'].includes(nameOf(cause))) throw error
        if (nameOf(cause) === 'NotFoundException') return
      }
      for (const { alias } of await aliases(reference)) await use((kms) => kms.deleteAlias({ AliasName: alias }))
    },
    close: async () => (await client.made()?.catch(() => undefined))?.destroy(),
  }
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : ''
}
