import type { AttestationResult } from 'aims/attestation'
import { clientTlsOptions, proofHeaders, signRequest, verifyResponse } from 'aims/authentication'
import type { Clock, ConnectionOptions } from 'aims/base'
import { AimsError, type Hidden, hiddenKey, hiddenToken } from 'aims/base'
import type { BundleSource, RevocationSource } from 'aims/credentials'
import { isExactly, trustDomainOf } from 'aims/identifiers'
import type { WorkloadBackend, WorkloadIdentity } from '../workload-backend.ts'
import type { FieldPairs } from './fields.ts'
import type { GivenTokens } from './given-tokens.ts'
import { holdIdentity } from './held-identity.ts'
import type { BrokerRule, SecretPlace } from './rules.ts'
import type { SecretReader } from './secrets/secret-store.ts'

/** What a request is sent with. Never returned to the caller, never logged. */
export interface Attachment {
  readonly fields: FieldPairs
  /** In place of the query of the caller. */
  readonly query: string
  /** What TLS needs to be this workload. */
  readonly tls: ConnectionOptions['tls']
  /** What of this must not come back. */
  readonly hidden: readonly Hidden[]
  /** Judges the whole answer before anybody sees it. Absent: it streams. */
  readonly verify?: (answer: { readonly status: number; readonly headers: FieldPairs; readonly body: Buffer }) => void
}

/** The request that a credential is for. */
export interface Attachable {
  readonly rule: BrokerRule
  readonly identity: WorkloadIdentity
  readonly attestation: AttestationResult
  readonly bundles: BundleSource
  readonly method: string
  readonly path: string
  readonly query: string
  readonly fields: FieldPairs
  /** Whole, for proofs that are bound to it; see {@link needsBody}. */
  readonly body: Buffer | undefined
}

/** What credentials are made with. */
export interface AttachContext {
  readonly backend: Pick<WorkloadBackend, 'jwtSvids' | 'revocations'>
  readonly secrets: SecretReader
  /** Learns of bearer tokens that are attached. */
  readonly given: GivenTokens
  readonly clock: Clock
}

/** Whether the proof of a rule is bound to the body, which then must be there before the request can begin. */
export function needsBody({ credential: { kind } }: BrokerRule): boolean {
  return kind === 'wit' || kind === 'http-signature'
}

/**
 * Makes the credential that the rule names, for this request and this workload.
 *
 * @throws {@link AimsError} `egress.credential_unavailable`, `egress.secret_unknown`, `egress.secrets_damaged`,
 *   `egress.target_malformed`; `x509.untrusted_domain`; `provisioning.not_entitled`
 */
export async function attach(asked: Attachable, context: AttachContext): Promise<Attachment> {
  const { credential } = asked.rule
  const { query } = asked
  const { revocations } = context.backend
  const checked = revocations === undefined ? {} : { revocations }
  switch (credential.kind) {
    case 'wit':
      return attachWit(asked, credential.audience, context.clock())
    case 'http-signature':
      return attachSignature(asked, credential, context.clock, checked)
    case 'mtls': {
      const peer = isExactly(credential.peer)
      const trustDomain = trustDomainOf(credential.peer)
      const svid = holdIdentity(asked.identity)
      return {
        fields: [],
        query,
        tls: clientTlsOptions(svid, { bundles: asked.bundles, peer, trustDomain, ...checked }),
        hidden: [],
      }
    }
    case 'jwt-svid': {
      const made = await context.backend.jwtSvids(asked.attestation, [credential.audience], asked.identity.spiffeId)
      const [svid] = made
      if (svid === undefined) throw new AimsError('egress.credential_unavailable', 'the workload has no JWT-SVID')
      context.given.add(svid.token)
      const fields: FieldPairs = [['authorization', `Bearer ${svid.token}`]]
      return { fields, query, tls: undefined, hidden: hiddenToken(svid.token) }
    }
    case 'secret':
      return attachSecret(context.secrets.get(credential.secret).reveal(), credential.place, query)
    default:
      return { fields: [], query, tls: undefined, hidden: [] }
  }
}

function attachWit({ identity, method, path, query, body }: Attachable, audience: string, now: number): Attachment {
  const wit = holdIdentity(identity).wit()
  const headers = proofHeaders(wit, { method, target: `${path}${query}`, audience, body }, { now })
  return withTokens(Object.entries(headers), query)
}

function attachSignature(
  { identity, method, path, query, body, fields, bundles }: Attachable,
  { audience, peer }: Extract<BrokerRule['credential'], { readonly kind: 'http-signature' }>,
  clock: Clock,
  checked: { readonly revocations?: RevocationSource },
): Attachment {
  const target = `${path}${query}`
  const wit = holdIdentity(identity).wit()
  const signResponse = peer !== undefined
  const { headers, nonce } = signRequest(
    wit,
    { method, target, audience, headers: fields, body, signResponse },
    { now: clock() },
  )
  const attachment = withTokens(Object.entries(headers), query)
  if (peer === undefined) return attachment
  const request = { method, target, nonce, profile: 'wimse' } as const
  return {
    ...attachment,
    verify: (answer) =>
      void verifyResponse(answer, {
        request,
        bundles,
        peer: isExactly(peer),
        required: true,
        now: clock(),
        ...checked,
      }),
  }
}

// Of fields that hold tokens or signatures, what is in them must not come back.
function withTokens(fields: FieldPairs, query: string): Attachment {
  const hidden = fields.flatMap(([name, value]) => {
    if (name === 'signature') return [hiddenKey(Buffer.from(value.replace(/^[^:]*:|:[^:]*$/g, ''), 'latin1'))]
    return hiddenToken(value.replace(/^\w+ /, ''))
  })
  return { fields, query, tls: undefined, hidden }
}

function attachSecret(secret: string, place: SecretPlace, query: string): Attachment {
  // As it is, and as it is sent: who repeats a request in another encoding repeats that.
  const made = (sent: string, rest: Pick<Attachment, 'fields' | 'query'>): Attachment => ({
    ...rest,
    tls: undefined,
    hidden: [secret, sent].map((text) => hiddenKey(Buffer.from(text, 'latin1'))),
  })
  if (place.in === 'header') return made(secret, { fields: [[place.name, `${place.prefix}${secret}`]], query })
  if (place.in === 'basic') {
    const sent = Buffer.from(`${place.user}:${secret}`, 'latin1').toString('base64')
    return made(sent, { fields: [['authorization', `Basic ${sent}`]], query })
  }
  if (hasParameter(query, place.name))
    throw new AimsError('egress.own_credentials', 'the query of the caller has the parameter of the secret')
  const sent = encodeURIComponent(secret)
  const parameter = `${place.name}=${sent}`
  return made(sent, { fields: [], query: query.length > 1 ? `${query}&${parameter}` : `?${parameter}` })
}

// However it is written: servers undo escapes before they look for a name, and some split at semicolons.
function hasParameter(query: string, name: string): boolean {
  return query
    .slice(1)
    .split(/[&;]/)
    .some((pair) => decoded(pair.split('=', 1)[0] ?? '').toLowerCase() === name.toLowerCase())
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}
