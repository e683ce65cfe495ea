import { asBuffer, sha256 } from '../../base/bytes.ts'
import { type Authenticated, authenticatedEvidence, type EvidenceContext, type EvidenceVerifier } from '../evidence.ts'
import { authenticateNitro, checkNitroBinding } from './authenticate.ts'
import type { NitroDocument } from './document.ts'
import { appraiseNitro, type NitroPolicy, readNitroPolicy } from './policy.ts'

/** What a Nitro enclave document says, authenticated. */
export interface NitroClaims {
  readonly moduleId: string
  /** The part of `moduleId` before `-enc`. */
  readonly instanceId: string
  /** Seconds since the epoch. */
  readonly timestamp: number
  /** PCR index to value, hex. */
  readonly pcrs: { readonly [index: string]: string }
  /** What the enclave asked to have signed. */
  readonly publicKey?: Uint8Array
  readonly userData?: Uint8Array
  readonly nonce?: Uint8Array
}

/** What documents of enclaves must lead to. */
export interface AwsNitroTrust {
  /** SHA-256 fingerprints of root certificates: `AWS_NITRO_ROOTS`. */
  readonly roots: ReadonlySet<string>
}

const MAX_DOCUMENT = 16_384

/**
 * Verifies attestation documents of AWS Nitro Enclaves: COSE_Sign1 with ES384, exactly as the hypervisor hands it out.
 * Evidence: the bytes, or these in hex, base64 or PEM. For a challenge the enclave puts the nonce into `nonce`, the SubjectPublicKeyInfo of the key to be
 * certified into `public_key`, and the SHA-256 binding digest into `user_data`.
 *
 * Does not look at revocation: certificates of enclaves live three hours, and AWS publishes no list for them.
 *
 * @see aws-nitro-enclaves-nsm-api, docs/attestation_process.md
 */
export function awsNitroVerifier({ roots }: AwsNitroTrust): EvidenceVerifier<NitroClaims, NitroPolicy> {
  return {
    type: 'aws-nitro',
    maxSize: MAX_DOCUMENT,
    authenticate: (evidence, context) => authenticate(evidence, roots, context),
    readPolicy: readNitroPolicy,
    appraise: appraiseNitro,
  }
}

function authenticate(
  evidence: Uint8Array,
  roots: ReadonlySet<string>,
  { now, expected }: EvidenceContext,
): Authenticated<NitroClaims> {
  const { message, document, chain } = authenticateNitro(evidence, roots, now)
  const isBound = checkNitroBinding(document, expected)
  const claims = claimsOf(document)
  const debug = ['0', '1', '2'].some((index) => isZero(claims.pcrs[index] ?? ''))
  return authenticatedEvidence<NitroClaims>({
    claims,
    attested: `aws-nitro:${claims.moduleId}`,
    ...(isBound ? {} : { statement: sha256(message.payload).toString('hex') }),
    result: {
      type: 'aws-nitro',
      selectors: [
        `aws:nitro:instance:id:${claims.instanceId}`,
        ...Object.entries(claims.pcrs)
          .filter(([, value]) => !isZero(value))
          .map(([index, value]) => `aws:nitro:pcr${index}:${value}`),
      ],
      verifiedAt: now,
      evidenceNotAfter: chain.expiresAt,
      binding: isBound ? 'full' : 'none',
      freshness: isBound ? 'nonce' : 'window',
      hardwareRoot: chain.root.fingerprint,
      debug,
      attributes: {
        'module-id': claims.moduleId,
        'instance-id': claims.instanceId,
        timestamp: String(claims.timestamp),
        ...Object.fromEntries(['0', '1', '2'].map((index) => [`pcr${index}`, claims.pcrs[index] ?? ''])),
      },
      warnings: [],
    },
  })
}

function claimsOf(document: NitroDocument): NitroClaims {
  const { moduleId, timestamp, publicKey, userData, nonce } = document
  const hex = [...document.pcrs].map(([index, value]) => [String(index), asBuffer(value).toString('hex')] as const)
  return {
    moduleId,
    instanceId: moduleId.replace(/-enc[0-9a-zA-Z]*$/, ''),
    timestamp,
    pcrs: Object.fromEntries(hex),
    ...(publicKey === undefined ? {} : { publicKey }),
    ...(userData === undefined ? {} : { userData }),
    ...(nonce === undefined ? {} : { nonce }),
  }
}

function isZero(hex: string): boolean {
  return /^0*$/.test(hex)
}
