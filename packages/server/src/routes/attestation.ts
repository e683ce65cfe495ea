import { ATTESTATION_TYPES, type AttestationType } from 'aims/attestation'
import { AimsError, decodeBase64, isJsonObject, type JsonObject } from 'aims/base'
import { CREDENTIAL_TYPES } from 'aims/provisioning'
import type { EvidenceCredentials, EvidenceIssuance } from '../attestation/evidence-issuance.ts'
import type { EvidenceSession, ShownEvidence } from '../attestation/evidence-session.ts'
import type { Call, Route } from '../http/route.ts'
import type { Schema } from '../http/schema.ts'
import type { TrustTeller } from '../trust.ts'
import { objectBody, objectMember, textMember, textsMember } from './read.ts'

export const JWK: Schema = { type: 'object', description: 'Public JWK of the key that will be certified' }
const TYPE: Schema = { type: 'string', maxLength: 32, enum: ATTESTATION_TYPES }
const TOKEN: Schema = { type: 'string', maxLength: 4096 }
export const KEY_PROOF: Schema = { ...TOKEN, description: 'JWS of the key over the nonce, typ aims-key-proof+jwt' }
const CHALLENGE: Schema = {
  type: 'object',
  properties: {
    types: { type: 'array', maxItems: 8, items: TYPE, description: 'The types of evidence that will be shown' },
    use: {
      type: 'string',
      maxLength: 16,
      enum: ['workload', 'agent'],
      description: 'What the evidence is for: credentials of a workload (default), or to be an agent on another host',
    },
    publicKey: JWK,
    spiffeId: { type: 'string', maxLength: 2048, description: 'The identity wanted, where the evidence fits several' },
    manifest: { type: 'string', maxLength: 64, pattern: '^[0-9a-f]{64}$', description: 'SHA-256 of the manifest, hex' },
    hello: { type: 'object', description: 'By type: what its verifier must know before it can challenge' },
  },
  required: ['types', 'publicKey'],
}
/** What whoever shows evidence sends, of a workload or of an agent. */
export const EVIDENCE_PROPERTIES: { readonly [name: string]: Schema } = {
  challengeId: { type: 'string', maxLength: 64 },
  publicKey: JWK,
  keyProof: KEY_PROOF,
  evidence: {
    type: 'array',
    maxItems: 8,
    items: {
      type: 'object',
      properties: { type: TYPE, evidence: { type: 'string', maxLength: 200_000, description: 'base64' } },
      required: ['type', 'evidence'],
    },
  },
}
const CREDENTIALS: Schema = {
  type: 'object',
  properties: {
    ...EVIDENCE_PROPERTIES,
    manifest: { type: 'string', maxLength: 65_536 },
    previous: {
      type: 'object',
      properties: { publicKey: JWK, keyProof: TOKEN },
      required: ['publicKey', 'keyProof'],
      description: 'The key that was certified before, and its proof for the new one',
    },
    audiences: { type: 'array', maxItems: 16, items: { type: 'string', maxLength: 2048 } },
    credentialTypes: {
      type: 'array',
      maxItems: 3,
      items: { type: 'string', maxLength: 16, enum: CREDENTIAL_TYPES },
      description:
        'The credentials wanted. Default: all that the entry permits; a JWT-SVID needs audiences in any case',
    },
  },
  required: ['challengeId', 'publicKey', 'keyProof', 'evidence'],
}

/** Issuance by evidence, for workloads without an agent on their host. Whoever asks has proved nothing yet. */
export function attestationRoutes(
  session: EvidenceSession,
  issuance: EvidenceIssuance,
  trust: TrustTeller,
): readonly Route[] {
  const common = { method: 'POST', access: 'public', entrances: ['unix', 'https'] } as const
  return [
    {
      ...common,
      path: '/v1/attestation/challenges',
      summary: 'Gives a challenge for evidence, bound to a key. It answers once, within two minutes.',
      body: CHALLENGE,
      handle: (call) => {
        const body = objectBody(call)
        const types = typesOf(textsMember(body, 'types'))
        const { spiffeId, manifest, hello } = body
        const offer = session.challenge({
          use: body.use === 'agent' ? 'agent' : 'workload',
          types,
          publicKey: objectMember(body, 'publicKey'),
          hello: isJsonObject(hello) ? hello : {},
          ...(typeof spiffeId === 'string' ? { spiffeId } : {}),
          ...(typeof manifest === 'string' ? { manifest: Buffer.from(manifest, 'hex') } : {}),
        })
        return { status: 201, body: { ...offer, nonce: Buffer.from(offer.nonce).toString('base64url') } }
      },
    },
    {
      ...common,
      path: '/v1/credentials',
      summary: 'Issues the credentials of an entry to whoever shows evidence that satisfies it.',
      body: CREDENTIALS,
      handle: async (call) => {
        const credentials = await issuance.issue(evidenceRequest(call), call.id)
        return { status: 201, body: { ...credentialsBody(credentials), ...trust.tell(credentials.entry) } }
      },
    },
  ]
}

function evidenceRequest(call: Call): Parameters<EvidenceIssuance['issue']>[0] {
  const body = objectBody(call)
  const { audiences, credentialTypes } = body
  const wanted = textsMember(body, 'credentialTypes')
  return {
    ...shownEvidence(body),
    ...(audiences === undefined ? {} : { audiences: textsMember(body, 'audiences') }),
    ...(credentialTypes === undefined
      ? {}
      : { credentialTypes: CREDENTIAL_TYPES.filter((type) => wanted.includes(type)) }),
  }
}

/** The evidence of a body that {@link EVIDENCE_PROPERTIES} describe. */
export function shownEvidence(body: JsonObject): ShownEvidence {
  const { manifest, previous } = body
  const pieces = Array.isArray(body.evidence) ? body.evidence.filter(isJsonObject) : []
  return {
    challengeId: textMember(body, 'challengeId'),
    publicKey: objectMember(body, 'publicKey'),
    keyProof: textMember(body, 'keyProof'),
    evidence: pieces.map((piece) => {
      const evidence = decodeBase64(textMember(piece, 'evidence'))
      if (evidence === undefined) throw new AimsError('operation.request_malformed', 'evidence is base64')
      return { type: typesOf([textMember(piece, 'type')])[0] as AttestationType, evidence }
    }),
    ...(typeof manifest === 'string' ? { manifest } : {}),
    ...(isJsonObject(previous)
      ? { previous: { publicKey: objectMember(previous, 'publicKey'), keyProof: textMember(previous, 'keyProof') } }
      : {}),
  }
}

function credentialsBody({ entry, attested, x509, wit, jwt }: EvidenceCredentials): {
  readonly [name: string]: unknown
} {
  return {
    spiffeId: entry.spiffeId,
    hint: entry.hint,
    profile: entry.profile,
    attested,
    ...(x509 === undefined
      ? {}
      : {
          x509Svid: {
            chain: x509.certificates.map((der) => Buffer.from(der).toString('base64')),
            serialNumber: x509.serialNumber,
            expiresAt: x509.notAfter,
          },
        }),
    ...(wit === undefined ? {} : { wit }),
    ...(jwt === undefined ? {} : { jwtSvid: jwt }),
  }
}

function typesOf(names: readonly string[]): readonly AttestationType[] {
  const types = ATTESTATION_TYPES.filter((type) => names.includes(type))
  if (types.length !== names.length || types.length === 0) {
    throw new AimsError('operation.request_malformed', 'one or more types of evidence are needed, each once')
  }
  return types
}
