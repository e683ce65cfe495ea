/** Why a registration entry or a request for a credential is refused. */
export const PROVISIONING_CODES = {
  'provisioning.malformed_entry': 'the entry is not an object, or a member has the wrong type or form',
  'provisioning.malformed_file': 'the file is not YAML or JSON with entries: the message names file, line and column',
  'provisioning.unknown_member': 'the entry has a member that entries do not have: check its spelling',
  'provisioning.missing_member': 'the entry lacks a member that has no default (spiffeId, selectors)',
  'provisioning.malformed_selector':
    'a selector is written type:key:value, e.g. unix:uid:1000, and no workload ever shows one of another form',
  'provisioning.no_selectors': 'an entry needs at least one selector: without one it would match every workload',
  'provisioning.invalid_subject':
    'the SPIFFE ID of an entry is well formed, has a path, and is in the own trust domain',
  'provisioning.ttl_out_of_range':
    'the lifetime is zero, negative, or above the cap of this server (of a sub-agent: subAgents.maxTtl of its entry)',
  'provisioning.missing_audience': 'profile aims-00 puts aud into its WITs, and a JWT-SVID is for somebody: name them',
  'provisioning.subject_taken': 'another entry already has this SPIFFE ID: one agent, one identifier',
  'provisioning.subject_fixed': 'an entry keeps its SPIFFE ID: create a new entry for a new agent',
  'provisioning.subject_retired': 'this SPIFFE ID belonged to a deleted entry and is not given to another',
  'provisioning.entry_exists': 'an entry with this id exists, or existed',
  'provisioning.entry_not_found': 'no entry has this id',
  'provisioning.owner_missing': 'an agent has an owner, a person or team who answers for it: name one',
  'provisioning.purpose_missing': 'an agent has a purpose: say in a few words what it is for',
  'provisioning.class_selectors':
    'the selectors tell a class of workloads, so two agents would have one identity: add one that tells this agent, or say shared: true',
  'provisioning.outside_scope': 'the entry is outside the scope that is pruned: widen the scope, or plan it apart',
  'provisioning.not_delegated':
    'the registrar was not given this: entries.delegations in the configuration of the server says what it may register',
  'provisioning.revision_conflict': 'the entry was changed in the meantime: read it again, or make the plan anew',
  'provisioning.not_entitled': 'the workload has no entry that permits this credential',
  'provisioning.sub_agents_not_allowed':
    'the agent may have no sub-agents: give its entry subAgents with maxDepth, max and maxTtl',
  'provisioning.sub_agents_too_deep':
    'the sub-agent would be deeper below its agent than subAgents.maxDepth of the entry allows',
  'provisioning.too_many_sub_agents':
    'the agent has as many sub-agents as subAgents.max of its entry allows: wait until some have ended',
  'provisioning.rights_exceeded':
    'a sub-agent was to have rights that its parent, or its entry, does not have: ask for fewer',
  'provisioning.parent_expired': 'the credential of the parent ends now, and its sub-agents with it: renew it first',
  'provisioning.invalid_revocation':
    'what should be revoked has not the form of its type, or is none of this trust domain',
  'provisioning.revocations_full':
    'the list of revocations is full: revoke an identity, which covers its sub-agents, in place of single tokens',
  'provisioning.key_proof_invalid':
    'the proof that the caller holds the key is not one for this challenge and key: sign it again',
  'provisioning.agent_banned': 'an operator banned this agent: it gets nothing until it is evicted and attested anew',
  'provisioning.agent_unknown':
    'no agent that may act shows this SVID: it was evicted, or the SVID was replaced; attest the machine again',
  'provisioning.agent_not_found': 'no agent has this id: see aims agent list',
  'provisioning.ambiguous_identity': 'the evidence fits several entries: name the SPIFFE ID that is wanted',
  'provisioning.profile_disabled': 'the profile of the entry is not enabled on this server',
  'provisioning.authority_expired': 'the signing authority is too close to its end: rotate it',
  'provisioning.no_downstream': 'this server certifies no servers below it: set keys.downstreamTtl, and rotate its CA',
  'provisioning.upstream_expiring':
    'the upstream CA ends before a CA of this server has lived half of keys.lifetime: renew it',
  'provisioning.upstream_unusable':
    'name constraints, path lengths or extensions of the CAs above forbid what this server issues: have the upstream CA issued anew',
  'provisioning.authority_not_found': 'no authority of this purpose has this id, or none is prepared: list them',
  'provisioning.authority_prepared': 'a successor is prepared already: activate it, or revoke it',
  'provisioning.authority_unpublished':
    'the authority is not in the bundle for long enough (keys.publishAhead): verifiers may not know it yet',
  'provisioning.authority_active':
    'the authority that signs now is neither tainted nor revoked: prepare and activate a successor first',
  'provisioning.authority_state':
    'the order is prepare, activate, taint, revoke: the authority is not at the step before this one',
  'provisioning.reference_invalid':
    'the reference to a workload is absent or not well formed: a PID is a positive integer',
  'provisioning.reference_unsupported':
    'this agent does not resolve references of this type: it knows processes of its own machine',
  'provisioning.workload_not_found': 'the workload that a broker named does not exist, or has ended',
  'provisioning.broker_not_allowed':
    'the caller is authentic and no broker: name its SPIFFE ID in agent.broker.callers',
  'provisioning.no_identity': 'no entry matches this workload: register one whose selectors it shows',
  'provisioning.no_endpoint': 'no Workload API address is given: set SPIFFE_ENDPOINT_SOCKET or pass an address',
  'provisioning.invalid_endpoint':
    'the address is not unix:///absolute/path or tcp://IP:PORT, or for an identity server https://HOST:PORT',
  'provisioning.endpoint_unavailable':
    'the Workload API does not answer: is the agent running, on this address, and may this user open its socket',
  'provisioning.endpoint_refused': 'the Workload API refused the call as invalid: this is not worth a retry',
  'provisioning.unimplemented': 'the Workload API does not offer this call',
  'provisioning.malformed_message': 'a message of the Workload API is not well-formed protobuf or gRPC framing',
  'provisioning.message_too_large': 'a message of the Workload API is larger than the reader allows',
  'provisioning.invalid_response': 'the Workload API sent a response that breaks its own rules: it was dropped',
  'provisioning.server_untrusted':
    'whoever answers there does not prove to be the identity server of this trust domain: check address, bundle (aims bundle show makes a new one) and clock',
  'provisioning.no_evidence': 'no collector found evidence on this machine: name the type that the platform has',
  'provisioning.nothing_to_connect':
    'neither a Workload API nor evidence for an identity server was found: set up one of those that were tried',
  'provisioning.timeout': 'the Workload API did not answer in time',
  'provisioning.closed': 'the source was closed',
  'provisioning.not_ready': 'the source holds no current credential: it was redacted, has expired, or never came',
  'provisioning.identity_shared':
    'several places have credentials of one agent identity at a time: give each its own entry, with selectors that tell them apart, or set shared in the entry',
  'provisioning.federation_malformed':
    'the federation relationship lacks a part or has one that is not well formed: trust domain, URL, profile, endpoint SPIFFE ID and first bundle are each told',
  'provisioning.federation_not_found': 'there is no relationship with this trust domain',
  'provisioning.federation_configured': 'the relationship stands in the configuration: change it there',
} as const
