import type { EvidenceCollector } from '../../attestation/collect/collector.ts'
import type { Clock } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import type { JsonValue } from '../../base/json.ts'
import { exportPublicJwk, jwkThumbprint, WorkloadKey } from '../../base/keys.ts'
import { holdX509Svid, type X509Svid } from '../../credentials/x509-svid/source.ts'
import { joinSpiffeId, type TrustDomain } from '../../identifiers/spiffe-id.ts'
import { agentProofNonce } from './agent-proof.ts'
import { chainOf, invalid, object, showEvidence, text } from './exchange.ts'
import { signKeyProof } from './key-proof.ts'
import type { IdentityServer } from './server.ts'

/** The identity of an agent on another host than the server. */
export interface AgentIdentity {
  readonly svid: X509Svid
  /** The machine may show its evidence again, should the server have forgotten it. */
  readonly mayReattest: boolean
}

/** What attestation needs. */
export interface AgentAttestationOptions {
  readonly trustDomain: TrustDomain
  readonly collector: EvidenceCollector
  readonly clock: Clock
  readonly signal: AbortSignal
}

/**
 * Makes this machine an agent: shows its evidence, for a new key, and returns the identity that it got.
 *
 * @throws {@link AimsError} `provisioning.no_evidence`, `.server_untrusted`, `.agent_banned`, `attestation.*`, `operation.*`
 */
export async function attestAgent(server: IdentityServer, options: AgentAttestationOptions): Promise<AgentIdentity> {
  const { trustDomain, collector, clock, signal } = options
  const key = WorkloadKey.generate()
  const exchange = { trustDomain, collectors: [collector], clock }
  const body = await showEvidence(server, exchange, { use: 'agent', key, signal })
  return readIdentity(server, trustDomain, key, await send(server, '/v1/agents/attest', body, signal))
}

/**
 * Gets the next SVID of an agent, for a new key. The server must be shown the one that it has.
 *
 * @throws {@link AimsError} `provisioning.agent_unknown`, `.agent_banned`, `.server_untrusted`, `operation.*`
 */
export async function renewAgent(
  server: IdentityServer,
  { svid }: AgentIdentity,
  options: Pick<AgentAttestationOptions, 'trustDomain' | 'signal'>,
): Promise<AgentIdentity> {
  const { trustDomain, signal } = options
  const key = WorkloadKey.generate()
  const nonce = agentProofNonce({ agent: svid.spiffeId, purpose: 'renew' })
  const keyProof = await signKeyProof({ nonce, trustDomain, thumbprint: jwkThumbprint(key.publicKey) }, key)
  const body = { publicKey: exportPublicJwk(key.publicKey), keyProof }
  const next = readIdentity(server, trustDomain, key, await send(server, '/v1/agents/renew', body, signal))
  if (next.svid.spiffeId !== svid.spiffeId) throw invalid('spiffeId')
  return next
}

function send(server: IdentityServer, path: string, body: object, signal: AbortSignal): Promise<JsonValue | undefined> {
  return server.send({ method: 'POST', path, body, signal })
}

function readIdentity(
  server: IdentityServer,
  trustDomain: TrustDomain,
  key: WorkloadKey,
  answer: JsonValue | undefined,
): AgentIdentity {
  const granted = object(answer, 'answer')
  const { mayReattest, bundle } = granted
  try {
    server.learn(text(bundle, 'bundle'))
    const svid = holdX509Svid({ certificates: chainOf(granted), key })
    if (!svid.spiffeId.startsWith(`${joinSpiffeId(trustDomain, 'aims', 'agent')}/`)) throw invalid('chain')
    return { svid, mayReattest: mayReattest === true }
  } catch (cause) {
    throw new AimsError('operation.invalid_response', 'the identity that the server gave cannot be used', { cause })
  }
}
