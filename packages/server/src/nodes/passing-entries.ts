import { type KeyObject, randomUUID } from 'node:crypto'
import type { SpiffeId, TrustDomain } from 'aims/identifiers'
import { type IssuanceRequest, type Issuer, parseEntry, type RegistrationEntry } from 'aims/provisioning'

/** Whose X.509-SVID is issued, and for how long. */
export interface AgentSvidRequest {
  readonly spiffeId: SpiffeId
  readonly publicKey: KeyObject
  /** Seconds. */
  readonly ttl: number
  readonly posture: IssuanceRequest['posture']
  readonly correlationId: string
}

/**
 * Entries of agents, which the issuer finds while their SVID is being issued and never else: agents are in no list of
 * entries, and nobody can ask for their identities through one.
 */
export interface PassingEntries {
  find(id: string): RegistrationEntry | undefined
  issue(issuer: Issuer, request: AgentSvidRequest): ReturnType<Issuer['issueX509']>
}

const ANY = { default: 1, max: Number.MAX_SAFE_INTEGER }

/** Makes an empty set. */
export function createPassingEntries(trustDomain: TrustDomain): PassingEntries {
  const open = new Map<string, RegistrationEntry>()
  return {
    find: (id) => open.get(id),
    async issue(issuer, { spiffeId, publicKey, ttl, posture, correlationId }) {
      // Nobody outside this process can show this selector.
      const secret = `aims:process:${randomUUID()}`
      const entry = parseEntry(
        {
          id: `aims-agent-${randomUUID()}`,
          spiffeId,
          selectors: [secret],
          credentialTypes: ['x509-svid'],
          x509Ttl: ttl,
        },
        { trustDomain, ttls: { x509: ANY, jwt: ANY, wit: ANY } },
      )
      open.set(entry.id, entry)
      try {
        const shown = { ...posture, selectors: [...posture.selectors, secret] }
        return await issuer.issueX509({ entryId: entry.id, posture: shown, correlationId, publicKey })
      } finally {
        open.delete(entry.id)
      }
    },
  }
}
