import { sha256Base64url } from '../../base/bytes.ts'
import type { SpiffeId } from '../../identifiers/spiffe-id.ts'

/** What an agent on another host has a key certified for: its own next SVID, or a credential of a workload. */
export type AgentProofPurpose =
  | { readonly agent: SpiffeId; readonly purpose: 'renew' }
  | { readonly agent: SpiffeId; readonly purpose: 'x509-svid' | 'wit'; readonly entryId: string }

/**
 * The nonce of the proof ({@link signKeyProof}) that an agent on another host sends with every key to be certified. It
 * names the agent and the purpose, so that the proof of a key is worth nothing to another agent or for another entry.
 *
 * It is not fresh: whoever sends a proof again is that agent, and gets a credential for the same key once more.
 */
export function agentProofNonce(purpose: AgentProofPurpose): string {
  const entryId = purpose.purpose === 'renew' ? '' : purpose.entryId
  return sha256Base64url(JSON.stringify(['AIMS-AGENT-PROOF-v1', purpose.agent, purpose.purpose, entryId]))
}
