import {
  type AttestationType,
  authenticatedEvidence,
  type BindingStrength,
  bindingDigest,
  checkBoundData,
  type EvidenceCollector,
  type EvidenceVerifier,
} from 'aims/attestation'
import { AimsError, type JsonObject, type VerificationKey, verificationKey, WorkloadKey } from 'aims/base'
import { decodeUnverifiedJws, signJws, verifyJws } from '../../packages/aims/src/base/jose.ts'

/** A platform of our own that signs what runs on it. Real signatures, and a binding where its type has one. */
export interface TestPlatform {
  /** The type `tpm` answers a hello with an EK. */
  verifier(type: AttestationType, binding: BindingStrength): EvidenceVerifier<TestClaims>
  /** Evidence with these claims. */
  sign(claims: object): Promise<string>
  /** Collects evidence with these claims, as they are at that time. */
  collector(type: AttestationType, claims: () => object | undefined): EvidenceCollector
}

/** Makes a platform with a key of its own. */
export function testPlatform(): TestPlatform {
  const signer = WorkloadKey.generate()
  const key = verificationKey(signer.publicKey)
  const sign = (claims: object): Promise<string> => signJws({}, { ...claims }, signer)
  return {
    sign,
    verifier: (type, binding) => platformVerifier(key, type, binding),
    collector: (type, claims) => ({
      type,
      ...(type === 'tpm' ? { hello: async () => ({ ek: 'EK1' }) } : {}),
      async collect({ challenge, offer }) {
        const given = claims()
        if (given === undefined) return undefined
        const data = bindingDigest(type, challenge, 'sha256').toString('base64')
        const secret =
          offer === undefined ? {} : { secret: `secret of ${String(offer.credential).slice('for '.length)}` }
        return Buffer.from(await sign({ instance: 'i-1', data, ...secret, ...given }))
      },
    }),
  }
}

/** What it signs. */
export interface TestClaims {
  readonly image: string
}

function platformVerifier(
  key: VerificationKey,
  type: AttestationType,
  binding: BindingStrength,
): EvidenceVerifier<TestClaims> {
  return {
    type,
    maxSize: 4096,
    ...(type === 'tpm'
      ? {
          prepare: (hello: JsonObject) => {
            if (typeof hello.ek !== 'string') throw new AimsError('attestation.malformed', 'the hello names no EK')
            return { offer: { credential: `for ${hello.ek}` }, kept: { secret: `secret of ${hello.ek}` } }
          },
        }
      : {}),
    authenticate(evidence, { now, expected, prepared }) {
      const jws = decodeUnverifiedJws(Buffer.from(evidence).toString('latin1'))
      if (!verifyJws(jws, key)) throw new AimsError('attestation.invalid_signature', 'not signed by the platform')
      const { instance, image, data = '', id, secret, debug = false } = jws.claims
      if (prepared !== undefined && prepared.secret !== secret) {
        throw new AimsError('attestation.binding_mismatch', 'the secret was not activated')
      }
      if (binding !== 'none') checkBoundData(type, Buffer.from(String(data), 'base64'), expected)
      return authenticatedEvidence<TestClaims>({
        claims: { image: String(image) },
        attested: String(instance),
        ...(typeof id === 'string' ? { statement: id } : {}),
        result: {
          type,
          selectors: [`${type}:image:${String(image)}`],
          verifiedAt: now,
          binding,
          freshness: binding === 'none' ? 'none' : 'nonce',
          ...(type === 'tpm' ? { hardwareRoot: 'ab' } : {}),
          debug: debug === true,
          attributes: {},
          warnings: [],
        },
      })
    },
    readPolicy: (document) => {
      if (Object.keys(document).some((name) => name !== 'images')) {
        throw new AimsError('attestation.policy_malformed', 'unknown member')
      }
      return document
    },
    appraise: ({ claims }, policy) => {
      const { images } = policy as JsonObject
      if (Array.isArray(images) && !images.includes(claims.image)) {
        throw new AimsError('attestation.measurement_mismatch', 'not an allowed image')
      }
      return []
    },
  }
}
