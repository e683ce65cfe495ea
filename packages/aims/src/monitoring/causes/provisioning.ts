import { ANY, type Causes, type CausesOfCode } from './cause.ts'

/** What lies behind refusals of access, of credentials, and of the Workload API. */
export const PROVISIONING_CAUSES: Causes = {
  'no-policy-allows': {
    because: 'no policy of the set in force allows this action to this agent',
    fix: 'write a policy that permits it, and try it with aims decide; action, resource and agent are in the record',
  },
  'policy-forbids': {
    because: 'the policies named forbid this, whatever others permit',
    fix: 'if the action is meant to be allowed, narrow the forbid with unless; a permit beside it changes nothing',
  },
  'policy-failed': {
    because: 'a policy could not be evaluated, and it may be the one that forbids',
    fix: 'mend the policies named: mostly an attribute that is not always there; guard it with has',
  },
  'beyond-rights': {
    because: 'the caller is a sub-agent, and its parent did not give it this right',
    fix: 'let the parent mint it with the right, as far as it has that itself',
  },
  'request-not-usable': {
    because: 'the question to the policies was incomplete, too large, or not about an authenticated caller',
    fix: 'mend the service that asks: the second reason names the member',
  },
  'entry-missing': {
    because: 'no entry is for a workload that shows these selectors',
    fix: 'aims entry create with selectors out of those observed',
  },
  'entry-gone': {
    because: 'there is no entry with this id, or it is for workloads of another agent',
    fix: 'see aims entry list; name the agent in agents of the entry when it is meant to serve it',
  },
  'selectors-differ': {
    because:
      'an entry nearly fits: the workload does not show all of its selectors, as when it runs under another user or path',
    fix: 'run the workload as the entry says, or change the selectors of the entry (aims entry plan, then apply)',
  },
  'entry-of-agents': {
    because: 'the entry is for workloads of the node agents that it names, and this is none of them',
    fix: 'ask through such an agent, or take agents out of the entry',
  },
  'evidence-not-appraised': {
    because: 'the entry asks for evidence of a platform, and none was appraised for it as it stands now',
    fix: 'attest again: the entry may have changed since; aims attest appraise tells what its policy makes of the evidence',
  },
  'credential-type-not-permitted': {
    because: 'the entry does not permit credentials of this type',
    fix: 'add the type to credentialTypes of the entry',
  },
  'agent-banned': {
    because: 'an operator has banned this agent',
    fix: 'aims agent list tells it; aims agent evict lets it be attested anew',
  },
  'join-token-used': {
    because: 'the join token was used before, has expired, or was never made here',
    fix: 'make another one: aims token create; each is for one machine, once',
  },
  'agent-forgotten': {
    because: 'the server does not know the identity of this agent any more',
    fix: 'start the agent with fresh evidence or a new join token',
  },
  'key-of-another': {
    because: 'the key belongs to another subject already',
    fix: 'let every workload make its own key: an image or volume that is copied must not hold one',
  },
  'profile-not-enabled': {
    because: 'the entry asks for WITs of an older profile that this server does not issue',
    fix: 'enable it in the configuration of the server, with an end, or give the entry profile wimse',
  },
  'policy-invalid': {
    because: 'the policies do not fit the schema; the set in force before stays in force',
    fix: 'aims policy validate names file, line and column',
  },
  'socket-not-set': {
    because: 'the workload was not told where the Workload API is',
    fix: 'set SPIFFE_ENDPOINT_SOCKET=unix:///path/of/the/socket for the workload',
  },
  'socket-away': {
    because: 'nobody answers on the socket: no agent runs there, or this user may not reach it',
    fix: 'start the agent; let the user of the workload pass through the directory of the socket (aims doctor tells who may)',
  },
  'server-away': {
    because: 'the identity server does not answer',
    fix: 'start it, or see network and address; what was issued stays good until it expires',
  },
}

/** By code, and by the difference in the failed check. */
export const CAUSES_OF_PROVISIONING: CausesOfCode = {
  'no-policy': { [ANY]: ['no-policy-allows'] },
  forbidden: { [ANY]: ['policy-forbids'] },
  'policy-error': { [ANY]: ['policy-failed'] },
  'beyond-rights': { [ANY]: ['beyond-rights'] },
  'invalid-request': { [ANY]: ['request-not-usable'] },
  'provisioning.no_identity': { selectors: ['selectors-differ', 'entry-missing'], [ANY]: ['entry-missing'] },
  'provisioning.not_entitled': {
    selectors: ['selectors-differ'],
    agents: ['entry-of-agents'],
    evidence: ['evidence-not-appraised'],
    'credential-type': ['credential-type-not-permitted'],
    [ANY]: ['entry-missing'],
  },
  'provisioning.entry_not_found': { [ANY]: ['entry-gone'] },
  'provisioning.agent_banned': { [ANY]: ['agent-banned'] },
  'provisioning.agent_unknown': { [ANY]: ['agent-forgotten'] },
  'attestation.token_unknown': { [ANY]: ['join-token-used'] },
  'credential.key_reuse': { [ANY]: ['key-of-another'] },
  'provisioning.profile_disabled': { [ANY]: ['profile-not-enabled'] },
  'policy.invalid': { [ANY]: ['policy-invalid'] },
  'provisioning.no_endpoint': { [ANY]: ['socket-not-set'] },
  'provisioning.endpoint_unavailable': { [ANY]: ['socket-away'] },
  'operation.server_unreachable': { [ANY]: ['server-away'] },
}
