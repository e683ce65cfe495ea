/** Why evidence is refused. One vocabulary for all types: a type adds its own code only for what no other type has. */
export const EVIDENCE_CODES = {
  // Collect.
  'attestation.collection_failed':
    'this machine did not give evidence: run on the platform that is configured, with the right to ask it',
  // Parse.
  'attestation.unknown_type':
    'no verifier for this type of evidence is configured: name a type that is, or configure it',
  'attestation.too_large': 'the evidence, or a part of it, is larger than its type allows',
  'attestation.malformed':
    'the evidence does not have the form its type documents: collect it again, and send it unchanged',
  'attestation.unsupported':
    'a version, key type or algorithm of the evidence is not accepted for its type: have it made in one that the page of the type lists',
  // Authenticate.
  'attestation.untrusted':
    'no chain of certificates leads to a root that is configured for the type: add those in between to the collateral, or configure the root if it is to be trusted',
  'attestation.chain_invalid': 'a certificate of the evidence may not vouch for what it vouches for',
  'attestation.weak_key': 'a key or a signature algorithm of the evidence is too weak: have it made in a stronger form',
  'attestation.invalid_signature':
    'a signature of the evidence does not verify: it was changed, or made by another key',
  'attestation.not_yet_valid': 'the evidence or one of its certificates is not valid yet: look at both clocks',
  'attestation.expired': 'the evidence or one of its certificates has expired: collect fresh evidence',
  'attestation.revoked': 'a certificate or platform of the evidence has been revoked by its vendor',
  'attestation.issuer_unknown':
    'the evidence was made by an issuer, cluster or region that is not configured: configure it if it is to be trusted',
  'attestation.unconfirmed':
    'the platform that must confirm the evidence did not answer as it documents: try again, or look at the network',
  'attestation.token_other_use':
    'the join token was made for the other use, workload or agent; have one made with aims token create --for',
  'attestation.token_unknown':
    'no such join token waits to be used: it was used, has expired, or never was; make a new one with aims token create',
  'attestation.key_unknown': 'no configured key of the issuer answers for this evidence: refresh the collateral',
  'attestation.inconsistent': 'two parts of the evidence that belong together do not: send parts of one collection',
  'attestation.lifetime_too_long': 'the token lives longer than its platform allows: ask for one with a shorter life',
  // Binding and freshness.
  'attestation.binding_missing': 'what the evidence must be bound to was not given: ask for a challenge first',
  'attestation.binding_mismatch':
    'the evidence is not bound to this challenge, key or audience: collect it for the challenge that was given',
  'attestation.stale': 'the evidence is older than its window: collect it again',
  'attestation.replayed': 'this evidence or its challenge has been used before: each is good for one use',
  'attestation.challenge_unknown':
    'no such challenge is open: it was used, has expired, or was made for another request; ask for a new one',
  'attestation.taken': 'this machine or workload was first attested under another key and may not take over its place',
  // Collateral.
  'attestation.collateral_missing':
    'what the vendor says about this platform is not at hand: put its file into the collateral of the verifier; aims attest refresh fetches most of them',
  'attestation.collateral_malformed':
    'a file of collateral does not have the form its vendor documents: fetch it again, and leave out what is not for this type',
  'attestation.collateral_invalid':
    'a file of collateral is not signed by its vendor, or is about something else: fetch the one for this platform',
  'attestation.collateral_expired': 'a file of collateral is out of its window: refresh the collateral',
  'attestation.collateral_rollback':
    'a file of collateral is older than one that was used before: refresh the collateral',
  // Appraisal.
  'attestation.policy_malformed':
    'the appraisal policy has an unknown member or a value of the wrong form: the page of the type lists its members',
  'attestation.debug':
    'the platform runs in debug mode, so its owner can read its memory: start it without; allowDebug of the policy is for tests',
  'attestation.tcb_unknown':
    'the vendor lists no trust level that fits this platform: its firmware is older than any that is listed, or the collateral is of another',
  'attestation.tcb_out_of_date':
    'the vendor rates firmware, microcode or configuration of the platform below what the policy asks for: update it, or name status and advisories in the policy when they do not matter to you',
  'attestation.measurement_mismatch':
    'what runs is not among the reference values of the policy: add its value, if it is a release of yours',
  'attestation.not_allowed':
    'an attribute of the evidence is not among those the policy allows: the page of the type lists the members that allow more',
  'attestation.not_enough':
    'the evidence sent is less than the policy asks for: collect what is missing, or ask for less',
  'attestation.assurance_lowered': 'the evidence is weaker than the one the credential was first issued for',
} as const
