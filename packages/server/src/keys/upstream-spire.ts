import { AimsError, type AimsErrorCode, type Clock, type JsonObject, spkiBytes } from 'aims/base'
import { createCertificateRequest, serializeBundle, type TrustBundle } from 'aims/credentials'
import { type TrustDomain, trustDomainOf } from 'aims/identifiers'
import { connect, parseEndpoint, type SpireServer, spireServer } from 'aims/provisioning'
import { type Fields, originField, readFields, textField } from '../attestation/verifier-settings.ts'
import type { CaOrder, CertifiedCa, Heard, TokenKey, Upstream } from './upstream.ts'
import { asking, readCa, wrong } from './upstream-answers.ts'

const SPIRE = {
  server: originField('needed', 'the SPIRE server above, the port that its agents use'),
  workload: textField('needed', 'Workload API of a SPIRE agent, which gives this server its identity, `unix://PATH`'),
} as const satisfies Fields

/** Milliseconds to wait for an identity. */
const READY_TIMEOUT = 10_000

const INVALID: readonly AimsErrorCode[] = [
  'provisioning.server_untrusted',
  'provisioning.malformed_message',
  'provisioning.message_too_large',
  'bundle.wrong_trust_domain',
  'bundle.missing_keys',
  'bundle.missing_kid',
  'bundle.duplicate_kid',
  'bundle.invalid_key',
]

/**
 * A SPIRE server above this one, in the same trust domain. This server asks it as the plugin `spire` of SPIRE does: as a workload of
 * SPIRE whose entry is `downstream`. A CA is believed when it leads to a root of the bundle that the server has: its agents learn of a
 * new root some seconds later.
 *
 * Keys that it has published stay above until they end. SPIRE knows no keys of WITs: those of this server are in its own bundle alone.
 *
 * `load`, `certify` and `publish` reject with {@link AimsError} `operation.upstream_unreachable`, `operation.upstream_refused`,
 * `operation.upstream_invalid`; after one of them for half a minute with the same, without asking.
 *
 * @throws {@link Error} with the reason, for settings that are none
 */
export function spireUpstream(settings: JsonObject, trustDomain: TrustDomain, clock: Clock): Upstream {
  const { server, workload } = readFields(settings, SPIRE)
  if (server === undefined || workload === undefined) throw new Error('spire needs server and workload')
  parseEndpoint(workload)
  const ask = asking(clock, INVALID)
  const converse = <T>(work: (api: SpireServer) => Promise<T>): Promise<T> =>
    ask(async () => {
      using identity = await connect({
        address: workload,
        readyTimeout: READY_TIMEOUT,
        onWaiting: () => undefined,
      }).catch(nobody)
      const svid = identity.x509.x509Svid()
      const bundle = identity.bundles.bundleFor(trustDomain)
      if (bundle === undefined || trustDomainOf(svid.spiffeId) !== trustDomain) {
        throw new AimsError('x509.wrong_trust_domain', 'the Workload API gives identities of another trust domain')
      }
      const api = spireServer({ server, bundle, svid, clock })
      try {
        return await work(api)
      } finally {
        api.close()
      }
    })

  return {
    isAppendOnly: true,
    // Says whether there is an identity, and a server that answers, before a key is made.
    load: () =>
      converse(async (api) => {
        await api.fetchBundle()
        return { certify: (order) => converse((again) => certify(again, order, clock())) }
      }),
    publish: (keys) => converse((api) => publish(api, keys)),
  }
}

// Whatever the Workload API says: there is no identity to ask with.
function nobody(cause: unknown): never {
  if (!AimsError.is(cause)) throw cause
  const message = `there is no identity to ask the upstream server with (${cause.code})`
  throw new AimsError('operation.upstream_unreachable', message, { cause })
}

async function certify(api: SpireServer, order: CaOrder, now: number): Promise<CertifiedCa> {
  const csr = await createCertificateRequest(order.key)
  const preferredTtl = Math.min(order.notAfter - Math.floor(now), 0x7fff_ffff)
  const chain = await api.newDownstreamX509Ca({ csr, preferredTtl })
  const { bundle, tainted } = await api.fetchBundle()
  const { ca } = readCa(chain, bundle.x509Authorities, order)
  const root = Buffer.from(ca.chain.at(-1) ?? [])
  if (tainted.some((one) => root.equals(one))) throw wrong('a CA below a root that it has tainted')
  if (ca.expiresAt <= now) throw wrong('a CA whose time is over')
  // SPIRE may be told to give all CAs a life of its own choice.
  return { ...ca, expiresAt: Math.min(ca.expiresAt, order.notAfter) }
}

async function publish(api: SpireServer, keys: readonly TokenKey[]): Promise<Heard> {
  const own = keys.filter(({ purpose }) => purpose === 'jwt')
  let heard = await api.fetchBundle()
  const missing = own.filter((one) => !isIn(heard.bundle, one))
  for (const { key, until } of missing) {
    await api.publishJwtAuthority({ publicKey: spkiBytes(key.publicKey), keyId: key.kid, expiresAt: until })
  }
  if (missing.length > 0) heard = await api.fetchBundle()
  const { bundle, tainted } = heard
  if (!own.every((one) => isIn(bundle, one))) throw wrong('a bundle without the keys of this server')
  return { bundle: serializeBundle(bundle), tainted }
}

function isIn({ jwtAuthorities }: TrustBundle, { key: { kid, publicKey } }: TokenKey): boolean {
  const found = jwtAuthorities.get(kid)
  return found !== undefined && spkiBytes(found.key).equals(spkiBytes(publicKey))
}
