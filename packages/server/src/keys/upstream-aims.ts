import {
  AimsError,
  type AimsErrorCode,
  type Clock,
  decodeBase64,
  exportPublicJwk,
  isJsonObject,
  type JsonObject,
  type JsonValue,
  jwkThumbprint,
} from 'aims/base'
import { decodeUnverifiedX509Svid, parseBundle, serializeBundle, type TrustBundle } from 'aims/credentials'
import type { SpiffeId, TrustDomain } from 'aims/identifiers'
import { type ConnectOptions, connect, downstreamProofNonce, identityServer, signKeyProof } from 'aims/provisioning'
import {
  type Fields,
  listField,
  originField,
  pathField,
  readFields,
  textField,
} from '../attestation/verifier-settings.ts'
import { VERIFIER_TYPES } from '../attestation/verifier-types.ts'
import type { CaOrder, CertifiedCa, TokenKey, Upstream } from './upstream.ts'
import { asking, readCa, wrong } from './upstream-answers.ts'

const AIMS = {
  server: originField('needed', 'the server above'),
  workload: textField('evidence is shown', 'Workload API that gives this server its identity, `unix://PATH`'),
  bundle: pathField('needed with evidence', 'SPIFFE bundle by which the server above is recognised'),
  evidence: listField(
    'the Workload API is asked',
    'what to show',
    VERIFIER_TYPES.map(({ type }) => type),
  ),
} as const satisfies Fields

/** Milliseconds to wait for an identity. */
const READY_TIMEOUT = 10_000
const INVALID: readonly AimsErrorCode[] = ['provisioning.server_untrusted', 'operation.invalid_response']

/** One conversation with the server above, as the identity that this server has now. */
interface Conversation {
  readonly bundle: TrustBundle
  /** Sends a request with proofs that fit the SVID it is sent with. */
  send(method: 'GET' | 'POST' | 'PUT', path: string, body?: object): Promise<JsonObject>
  prove(key: CaOrder['key'], purpose: 'x509-ca' | 'jwt' | 'wit'): Promise<{ publicKey: object; keyProof: string }>
}

/**
 * A server above this one, in the same trust domain. This server asks it as a workload or by evidence, like any other; its entry there
 * says `downstream: true`. An answer is believed when it leads to a root of the bundle that this identity came with.
 *
 * `load` and `publish` reject with {@link AimsError} `operation.upstream_unreachable`, `operation.upstream_refused`,
 * `operation.upstream_invalid`; after one of them for half a minute with the same, without asking.
 *
 * @throws {@link Error} with the reason, for settings that are none
 */
export function aimsUpstream(settings: JsonObject, trustDomain: TrustDomain, clock: Clock): Upstream {
  const { server, workload, bundle: file, evidence } = readFields(settings, AIMS)
  if (server === undefined) throw new Error('aims needs server')
  if ((workload === undefined) === (evidence === undefined))
    throw new Error('aims needs workload, or evidence with bundle')
  if (evidence !== undefined && file === undefined) throw new Error('aims needs bundle with evidence')
  const options: ConnectOptions =
    workload === undefined
      ? { server, ...(evidence && { evidence }), ...(file && { bundle: file }), trustDomain }
      : { address: workload }

  const ask = asking(clock, INVALID)
  const converse = <T>(work: (conversation: Conversation) => Promise<T>): Promise<T> => ask(() => talk(work))
  const talk = async <T>(work: (conversation: Conversation) => Promise<T>): Promise<T> => {
    using identity = await connect({ ...options, readyTimeout: READY_TIMEOUT, onWaiting: () => undefined })
    const svid = identity.x509.x509Svid()
    const bundle = identity.bundles.bundleFor(trustDomain)
    if (bundle === undefined) throw new AimsError('x509.untrusted_domain', 'the identity came without a bundle')
    const { serialNumber } = decodeUnverifiedX509Svid(svid.certificates).leaf
    const api = identityServer({
      trustDomain,
      server,
      bundle: Buffer.from(serializeBundle(bundle, { includeWit: true })),
      clock,
    })
    try {
      return await work({
        bundle,
        send: async (method, path, body) => requireObject(await api.send({ method, path, body }, svid)),
        async prove(key, purpose) {
          const nonce = downstreamProofNonce({ server: svid.spiffeId as SpiffeId, serialNumber, purpose })
          const thumbprint = jwkThumbprint(key.publicKey)
          const publicKey = exportPublicJwk(key.publicKey, { alg: key.alg, kid: thumbprint })
          return { publicKey, keyProof: await signKeyProof({ nonce, trustDomain, thumbprint }, key) }
        },
      })
    } finally {
      api.close()
    }
  }

  return {
    // Says whether there is an identity, and a server that answers, before a key is made.
    load: () =>
      converse(async ({ send }) => {
        await send('GET', '/v1/downstream')
        return { certify: (order) => converse((conversation) => certify(conversation, order)) }
      }),
    publish: (keys) =>
      converse(async (conversation) => ({ bundle: await publish(conversation, keys, trustDomain), tainted: [] })),
  }
}

async function certify({ bundle, send, prove }: Conversation, order: CaOrder): Promise<CertifiedCa> {
  const { key, notAfter } = order
  const answer = await send('POST', '/v1/downstream/ca', { ...(await prove(key, 'x509-ca')), notAfter })
  const { authority, ca } = readCa(certificatesOf(answer.chain), bundle.x509Authorities, order)
  if (authority.certificate.extensions.basicConstraints?.pathLength !== 0) throw wrong('a CA of another path length')
  if (ca.expiresAt > notAfter) throw wrong('a CA of another life')
  return ca
}

async function publish(
  { send, prove }: Conversation,
  keys: readonly TokenKey[],
  trustDomain: TrustDomain,
): Promise<string> {
  const proven = await Promise.all(keys.map(async ({ purpose, key }) => ({ purpose, ...(await prove(key, purpose)) })))
  const { bundle } = await send('PUT', '/v1/downstream/keys', { keys: proven })
  if (typeof bundle !== 'string') throw wrong('no bundle')
  try {
    const { jwtAuthorities, witAuthorities } = parseBundle(bundle, trustDomain).bundle
    const all = { jwt: jwtAuthorities, wit: witAuthorities }
    if (!keys.every(({ purpose, key }) => all[purpose].has(jwkThumbprint(key.publicKey))))
      throw wrong('a bundle without the keys of this server')
  } catch (cause) {
    if (AimsError.is(cause) && cause.code === 'operation.upstream_invalid') throw cause
    throw wrong('a bundle that cannot be read', cause)
  }
  return bundle
}

function requireObject(value: JsonValue | undefined): JsonObject {
  if (value === undefined || !isJsonObject(value)) throw wrong('no object')
  return value
}

function certificatesOf(value: JsonValue | undefined): readonly Uint8Array[] {
  const certificates = (Array.isArray(value) ? value : []).map((one: JsonValue) => decodeBase64(String(one)))
  return certificates.map((der) => der ?? Buffer.of())
}
