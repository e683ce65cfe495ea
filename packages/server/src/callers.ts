import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { loadPeerCredentialProvider, releasePeerCredentials } from 'aims/attestation'
import { peerCertificatesOf, requireLiveCertificate } from 'aims/authentication'
import { AimsError, type Clock, type Observer } from 'aims/base'
import { type BundleSource, type RevocationSource, type VerifiedX509Svid, verifyX509Svid } from 'aims/credentials'
import type { SpiffeId, TrustDomain } from 'aims/identifiers'
import type { RegistrationEntry } from 'aims/provisioning'
import type { Configuration } from './config/settings.ts'
import type { Access, Caller } from './http/route.ts'
import { type AgentRegistry, isAgentId } from './nodes/agent-registry.ts'
import { type Delegations, delegationsByRegistrar } from './registration/delegation.ts'

/** Tells who is on the other end of a connection. */
export type Identify = (socket: Socket, id: string) => Promise<Caller>

/** Somebody who proved nothing. */
export const ANONYMOUS: Caller = { name: 'anonymous', method: 'none', access: new Set<Access>(['public']) }
const RIGHTS: { readonly [access in Access]: readonly Access[] } = {
  public: ['public'],
  reporter: ['public', 'reporter'],
  registrar: ['public', 'reporter', 'registrar'],
  agent: ['public', 'reporter', 'agent'],
  downstream: ['public', 'reporter', 'downstream'],
  admin: ['public', 'reporter', 'registrar', 'agent', 'admin'],
}

/**
 * Callers on the Unix socket, by what the kernel says: root and the user of the server administer, the configured users
 * do what they are configured for, everybody else has public access.
 *
 * @throws {@link AimsError} `attestation.provider_unavailable`: then the socket must not open
 */
export async function unixCallers(config: Configuration): Promise<Identify> {
  const registrars = delegationsByRegistrar(config['entries.delegations'])
  const provider = await loadPeerCredentialProvider()
  const known = new WeakMap<Socket, Caller>()
  return async (socket) => {
    const before = known.get(socket)
    if (before !== undefined) return before
    const credentials = provider.read(socket)
    releasePeerCredentials(credentials)
    const { uid } = credentials
    const caller: Caller = {
      name: `unix:uid:${uid}`,
      method: 'unix',
      access: new Set([
        ...RIGHTS[accessOfUser(uid, config)],
        ...(registrars.has(`unix:uid:${uid}`) ? RIGHTS.registrar : []),
      ]),
    }
    known.set(socket, caller)
    return caller
  }
}

function accessOfUser(uid: number, config: Configuration): Access {
  if (uid === 0 || uid === process.geteuid?.() || config['api.adminUids'].includes(uid)) return 'admin'
  if (config['api.agentUids'].includes(uid)) return 'agent'
  return config['api.reporterUids'].includes(uid) ? 'reporter' : 'public'
}

/** What is needed to know callers by their X.509-SVID. */
export interface TlsCallersOptions {
  readonly trustDomain: TrustDomain
  readonly bundles: BundleSource
  readonly clock: Clock
  readonly observer: Observer
  readonly agents: Pick<AgentRegistry, 'present' | 'requireActive'>
  readonly revocations: RevocationSource
  readonly delegations: Delegations
  findBySubject(subject: SpiffeId): RegistrationEntry | undefined
}

// Administering over HTTPS is no way to act as an agent: that takes a machine that was attested.
const OPERATOR: readonly Access[] = ['public', 'reporter', 'registrar', 'admin']

/**
 * Callers on the HTTPS listener, by the X.509-SVID of the handshake: workloads of the own trust domain report while they
 * have an entry, those whose entry says so administer, agents on other hosts are agents while they are registered and not
 * banned. Without a certificate a caller is anonymous; one that does not verify is recorded and
 * refused. It is verified at every request, and again when a body has come, so that neither an expired credential nor a removed authority lives on in
 * an open connection (X8), and a resumed session proves nothing (X5).
 */
export function tlsCallers(options: TlsCallersOptions): Identify {
  const { trustDomain, bundles, clock, observer, revocations } = options
  return async (socket, id) => {
    if (!(socket instanceof TLSSocket)) throw new TypeError('not a TLS connection')
    const chain = peerCertificatesOf(socket)
    if (chain.length === 0 || socket.isSessionReused()) return ANONYMOUS
    let claimed: string | undefined
    try {
      const now = clock()
      const svid = verifyX509Svid(chain, { bundles, now, trustDomain })
      claimed = svid.subject
      // A ban may come with a revocation, and is what the agent has to hear of.
      if (isAgentId(svid.subject as SpiffeId)) options.agents.requireActive(svid.subject)
      requireLiveCertificate(revocations, svid, now)
      return callerOf(svid, options)
    } catch (error) {
      if (!AimsError.is(error)) throw error
      await observer.record({
        type: 'authentication.refused',
        ...(claimed === undefined ? {} : { agent: { id: claimed, method: 'mtls' } }),
        resource: { type: 'service', id: 'aims-server' },
        action: 'connect',
        decision: 'deny',
        reasons: [error.code],
        correlationId: id,
      })
      // An agent must know whether to come again.
      if (error.code.startsWith('provisioning.agent_')) throw error
      throw new AimsError('operation.unauthenticated', 'the client certificate does not verify', { cause: error })
    }
  }
}

function callerOf(svid: VerifiedX509Svid, { agents, delegations, findBySubject }: TlsCallersOptions): Caller {
  const subject = svid.subject as SpiffeId
  const credential = { type: 'x509-svid', id: svid.serialNumber }
  const proven = { name: subject, method: 'mtls', credential, expiresAt: svid.expiresAt } as const
  if (isAgentId(subject)) {
    return { ...proven, access: new Set(RIGHTS.agent), agent: agents.present(subject, svid.serialNumber) }
  }
  const entry = findBySubject(subject)
  const access = accessOfEntry(entry, delegations)
  const further = entry?.downstream === true ? RIGHTS.downstream : []
  return { ...proven, access: new Set([...(access === 'admin' ? OPERATOR : RIGHTS[access]), ...further]) }
}

// Whose entry was deleted is nobody here, also while the last certificate lives (O5).
function accessOfEntry(entry: RegistrationEntry | undefined, delegations: Delegations): Access {
  if (entry === undefined) return 'public'
  if (entry.admin) return 'admin'
  return delegations.has(entry.spiffeId) ? 'registrar' : 'reporter'
}
