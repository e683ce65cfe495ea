/** What is known about a type of event. */
export interface EventType {
  readonly description: string
  /** True when records of this type must name the agent, unless they tell of a refusal. */
  readonly agent: boolean
}

/** The types of events AIMS itself reports, as `area.what-happened`. Others may be recorded too. */
export const EVENT_TYPES: { readonly [type: string]: EventType } = {
  'attestation.succeeded': { description: 'evidence about a workload was accepted', agent: false },
  'attestation.refused': { description: 'evidence about a workload was refused', agent: false },
  'attestation.assurance-lowered': {
    description: 'a renewal came with weaker evidence than before, and was refused',
    agent: true,
  },
  'attestation.manifest-narrowed': { description: 'tools of an agent were left out of its credential', agent: true },
  'attestation.forgotten': { description: 'an operator let a first use count as none', agent: false },
  'provisioning.issued': { description: 'a credential was issued', agent: true },
  'provisioning.sub-agents-issued': { description: 'sub-agents of an agent were made', agent: true },
  'provisioning.refused': { description: 'a credential was asked for and not issued', agent: false },
  'provisioning.identity-shared': { description: 'one agent identity is in use at several places', agent: true },
  'provisioning.rejected': { description: 'a proxy did not take the secrets it was given', agent: false },
  'provisioning.entry-created': { description: 'a registration entry was created', agent: false },
  'provisioning.entry-updated': { description: 'a registration entry was changed', agent: false },
  'provisioning.entry-refused': { description: 'a change of registration entries was refused', agent: false },
  'provisioning.entry-deleted': { description: 'a registration entry was removed', agent: false },
  'provisioning.agent-banned': { description: 'an agent on another host was shut out', agent: false },
  'provisioning.agent-evicted': { description: 'an agent on another host was forgotten', agent: false },
  'provisioning.join-token-created': { description: 'a join token was made', agent: false },
  'provisioning.join-token-revoked': { description: 'a join token was taken back', agent: false },
  'provisioning.key-rotated': { description: 'an authority or token signing key was replaced', agent: false },
  'provisioning.key-tainted': {
    description: 'what a signing key has signed is to be replaced at once',
    agent: false,
  },
  'provisioning.key-revoked': { description: 'a signing key was taken out of the bundle by an operator', agent: false },
  'provisioning.bundle-changed': { description: 'a trust bundle was changed', agent: false },
  'provisioning.revoked': { description: 'credentials were revoked', agent: false },
  'provisioning.agent-retired': { description: 'an agent came to its end', agent: false },
  'provisioning.federation-set': { description: 'a relationship with another trust domain began', agent: false },
  'provisioning.federation-ended': { description: 'a relationship with another trust domain ended', agent: false },
  'provisioning.bundle-fetched': { description: 'the bundle of another trust domain was taken', agent: false },
  'provisioning.bundle-refused': {
    description: 'the bundle of another trust domain did not come, or was not taken',
    agent: false,
  },
  'authentication.succeeded': { description: 'a caller proved who it is', agent: true },
  'authentication.refused': { description: 'a caller did not prove who it is', agent: false },
  'authentication.ended': {
    description: 'something that a caller had open was closed, because its credential counts no more',
    agent: true,
  },
  'authentication.replayed': { description: 'a proof was used a second time', agent: false },
  'authentication.compat-profile-used': { description: 'a caller still uses an older profile', agent: true },
  'authorization.decided': { description: 'an action was allowed or denied', agent: true },
  'authorization.brokered': {
    description: 'a request was passed on with a credential that its caller does not see, or was not',
    agent: true,
  },
  'monitoring.refusals-limited': {
    description: 'so many callers were refused that more are only counted',
    agent: false,
  },
  'monitoring.refusals-omitted': { description: 'how many refusals were counted and not recorded', agent: false },
  'policy.loaded': { description: 'a policy set came into force', agent: false },
  'policy.refused': { description: 'a policy set was offered and not valid', agent: false },
  'operation.started': { description: 'a server or agent was started', agent: false },
  'operation.stopped': { description: 'a server or agent was stopped in order', agent: false },
  'operation.key-not-destroyed': {
    description: 'a key that is no longer used is still in the key manager: remove it there',
    agent: false,
  },
  'operation.backup-created': { description: 'an operator took a copy of store and log', agent: false },
  'operation.restored': { description: 'store and log came from a backup', agent: false },
  'operation.rollback-accepted': { description: 'an operator let an older store or log count', agent: false },
  'operation.withdrawal-lost': {
    description: 'an older store does not know that something was taken away',
    agent: false,
  },
  'operation.store-downgraded': { description: 'the store was made fit for the version before', agent: false },
  'operation.configured': { description: 'an operator changed a setting', agent: false },
}

/** What is known about a type, or `undefined` for a type of somebody else. */
export function findEventType(type: string): EventType | undefined {
  return Object.hasOwn(EVENT_TYPES, type) ? EVENT_TYPES[type] : undefined
}
