import { ANY, type Causes, type CausesOfCode } from './cause.ts'

/** What lies behind refusals of callers. */
export const AUTHENTICATION_CAUSES: Causes = {
  'caller-clock-behind': {
    because: 'the clock of the caller is behind: its proof says it was made before the WIT that it names was issued',
    fix: 'synchronise the clock of the caller (chrony, timesyncd)',
  },
  'caller-clock-ahead': {
    because: 'the clock of the caller is ahead of the one of this service',
    fix: 'synchronise both clocks; clockSkew, at most 120 s, is for what remains',
  },
  'proof-late': {
    because:
      'the proof came after its end: it was kept, queued or repeated on the way, or the clock of the caller is behind',
    fix: 'make a proof for every attempt, right before it is sent; compare the clocks of caller and service',
  },
  'body-too-slow': {
    because: 'the body took longer to arrive than the proof, or the WIT, was good for',
    fix: 'let the caller make proofs that live longer, up to maxLifetime of this service; send large bodies in parts, or over a faster way',
  },
  'message-waited': {
    because: 'the message waited longer in the broker than its proof lives',
    fix: 'let the producer give proofs a longer lifetime, and the consumer a maxLifetime and a store for it; look for a consumer that lags or stands still',
  },
  'wit-ended-while-waiting': {
    because: 'the WIT of the sender ended while the message waited: it is judged when the message is consumed',
    fix: 'let WITs of this sender live twice as long as messages wait (witTtl of its entry), or verify at the door and keep what was accepted in a place of your own',
  },
  'wrong-topic': {
    because:
      'the message was proven for another topic: it was copied here, or producer and consumer name the topic differently',
    fix: 'give both the same URI for the topic, byte for byte; a program that moves messages proves them anew as itself',
  },
  'message-changed': {
    because: 'the payload is another one than the proof was made for',
    fix: 'make the proof over the bytes that are sent, after serialising and before compressing by the client; look for a bridge or interceptor that rewrites messages',
  },
  'message-headers-changed': {
    because: 'the key, the reply address or a header is another one than the proof was made for',
    fix: 'name headers that something on the way adds or changes in unboundHeaders, on both sides alike; make the proof when all others are set',
  },
  'message-delivered-twice': {
    because: 'the broker has delivered the message again, or somebody has sent a copy of it',
    fix: 'where no message may be lost, check it, work on it, use() it and acknowledge it, in this order; a producer that sends again makes a new proof',
  },
  'message-unproven': {
    because: 'the message has no proof, or no WIT, or one of them twice',
    fix: 'let the producer use toKafka, provenNatsHeaders, toQueue or proveMessage; look for a bridge that drops or copies headers',
  },
  'proof-lives-too-long': {
    because: 'the caller makes proofs for longer than maxLifetime of this service',
    fix: 'let the caller make shorter proofs (60 s is the default), or raise maxLifetime and size the replay store for it',
  },
  'service-clock-behind': {
    because:
      'a credential seems to come from the future: the clock of this service is behind, or that of the issuer ahead',
    fix: 'synchronise the clock of this service, then that of the identity server',
  },
  'credential-not-renewed': {
    because: 'the caller still uses a credential that has expired: nobody renews it',
    fix: 'see that the agent on the host of the caller runs and reaches its server (aims doctor), and that the caller takes credentials from a source and keeps no copy',
  },
  'credential-lives-too-long': {
    because: 'the credential lives longer than this verifier accepts',
    fix: 'lower the lifetime in the entry',
  },
  'wrong-audience': {
    because: 'the caller made its proof for another service',
    fix: 'give the caller the audience of this service, or, where the name in its proof is one of this service, add it to audiences',
  },
  'audience-spelling': {
    because: 'the audience differs in its spelling only: upper case, or a slash at the end',
    fix: 'use the same text on both sides: audiences are compared byte for byte',
  },
  'audience-scheme': {
    because: 'the audience is that of this service but for http and https: TLS ends in front of the service',
    fix: 'let audiences name the URI that callers use, https:// with it, not the one behind the proxy',
  },
  'audience-port': {
    because: 'the audience is that of this service but for the port',
    fix: 'let audiences name the port that callers use, as they write it',
  },
  'audience-is-target': {
    because: 'the audience is a URI with a path at an origin of this service',
    fix: 'set origins of the authenticator to that origin: then the target URI of each request counts as audience',
  },
  'proof-for-another-path': {
    because: 'the proof was made for another path',
    fix: 'make a proof for every request; look for a client that reuses one, or a proxy in between that rewrites paths',
  },
  'proxy-strips-prefix': {
    because: 'something in front of this service takes the beginning of the path away after the proof was made',
    fix: 'let the proxy pass the path on as it came, or authenticate in front of it; a router that mounts: authenticate before it',
  },
  'proxy-adds-prefix': {
    because: 'something in front of this service puts something in front of the path after the proof was made',
    fix: 'let the proxy pass the path on as it came, or let the caller make its proofs for the path behind it',
  },
  'path-respelled': {
    because: 'the path was written in another way on the way: escapes, dots, or slashes',
    fix: 'turn normalisation of paths off in the proxy, and let the caller send the plain spelling',
  },
  'query-left-out': {
    because: 'the caller leaves the query out of htu, as DPoP has it',
    fix: 'make htu of path and query as they are sent, or leave htu out',
  },
  'query-changed': {
    because: 'the query is another one than the proof was made for',
    fix: 'make the proof after all parameters are in place; look for a proxy that adds or reorders them',
  },
  'origin-unknown': {
    because: 'htu is an absolute URI at an origin that this service does not know as its own',
    fix: 'set origins of the authenticator to what callers use, https:// with it where TLS ends in front; or make htu of path and query',
  },
  'proof-for-another-method': {
    because: 'the proof was made for another method',
    fix: 'make a proof for every request; look for middleware that overrides methods in front of authentication',
  },
  'method-in-another-case': {
    because: 'the method in the proof is not spelled as on the wire',
    fix: 'write htm in upper case',
  },
  'body-read-before': {
    because: 'the body was gone when it was to be compared: something had read it before, or it never came',
    fix: 'put authentication in front of body parsers',
  },
  'body-changed': {
    because: 'the body is another one than the proof was made for',
    fix: 'make the proof over the bytes that are sent; look for middleware or a proxy in between that rewrites or recodes bodies',
  },
  'proof-names-too-little': {
    because: 'this service or route wants the proof to name method, target or body, and it does not',
    fix: 'let the caller use a client that names them, as those of AIMS do, or ask for less with requireBinding',
  },
  'field-sent-twice': {
    because:
      'a field that counts once came more than once: a client and a proxy both set it, or somebody tries whose counts',
    fix: 'let one of them set it, and the proxy replace it',
  },
  'wit-as-bearer': {
    because: 'the caller sends its WIT as a bearer token',
    fix: 'send it as Workload-Identity-Token, beside a proof: use provingFetch or another client of AIMS',
  },
  'proof-missing': {
    because: 'the caller sends its WIT and no proof that it holds the key',
    fix: 'use provingFetch or another client of AIMS; where it does, a proxy has removed Authorization',
  },
  'wit-missing': {
    because: 'the caller sends a proof and not the WIT that it is for',
    fix: 'use provingFetch or another client of AIMS; where it does, a proxy has removed Workload-Identity-Token',
  },
  'nothing-carried': {
    because: 'the request says nothing about who sends it',
    fix: 'use provingFetch or another client of AIMS; where it does, a proxy has removed Authorization',
  },
  'method-not-accepted': {
    because: 'the caller proves itself in a way that this service or route does not accept',
    fix: 'let the caller use one of those that were expected, or add the method to methods, or to accept of the route',
  },
  'no-client-certificate': {
    because: 'the TLS client has no certificate, and only that counts here',
    fix: 'let the caller use mtlsAgent; where it does, TLS ends at a proxy in front: let it pass through, or accept proofs',
  },
  'two-proofs': {
    because: 'the request carries proofs of two kinds',
    fix: 'let the caller use one client of AIMS, not two around each other',
  },
  'key-mismatch': {
    because: 'the proof was not made with the key in the WIT',
    fix: 'take WIT and key from one source at one time: after a rotation both change',
  },
  'proof-for-another-wit': {
    because: 'the proof names another WIT than the one beside it, as after a rotation in between',
    fix: 'take the WIT once for proof and field, and make a new proof for a new WIT',
  },
  'algorithm-mismatch': {
    because: 'the proof says another algorithm than the one that the WIT gives for its key',
    fix: 'write alg of the proof exactly as cnf.jwk.alg of the WIT: EdDSA and Ed25519 are two',
  },
  'trust-domain-unknown': {
    because: 'this service has no bundle for the trust domain of the caller',
    fix: 'federate: aims bundle federate, then federatesWith in the entry of this service; or the caller is in the wrong trust domain',
  },
  'trust-domain-other-scheme': {
    because: 'this service knows the trust domain under another scheme: spiffe:// and wimse:// are two namespaces',
    fix: 'configure the bundle for the scheme of the identifiers',
  },
  'bundle-without-keys': {
    because: 'the bundle of the trust domain has no key for credentials of this kind',
    fix: 'take the bundle from the Workload API or from /v1/bundle of the server, which have all of them',
  },
  'signing-key-unknown': {
    because:
      'the bundle here has no key with this kid: keys were rotated and the bundle is a copy from before, or the key was revoked',
    fix: 'follow the bundle (connectWorkload does) and keep no copy; a key that was revoked: see aims authority list, and fetch a fresh credential',
  },
  'credential-forged': {
    because: 'the credential names a key of the trust domain, and that key did not sign it',
    fix: 'look whether something on the way changes the token; otherwise treat it as an attack',
  },
  'credential-revoked': {
    because: 'the credential, its subject or its key was revoked, or the agent was retired',
    fix: 'aims explain SPIFFE-ID tells who did it and why; a retired agent does not come back',
  },
  'revocations-unknown': {
    because: 'this service has no current revocation list, so it can believe nobody',
    fix: 'see that this service, or the agent on its host, reaches the identity server; look at maxStaleness',
  },
  'proof-used-twice': {
    because: 'the very same proof came before',
    fix: 'make a proof for every attempt, also for retries; look for a proxy that repeats or mirrors requests; otherwise somebody replays',
  },
  'replay-store-away': {
    because: 'the replay store did not answer, so no proof can be believed',
    fix: 'bring the store back; raise its timeout when it is only slow',
  },
  'replay-store-full': {
    because: 'the replay store is full: more proofs are alive than it has room for',
    fix: 'raise capacity to requests per second times the longest life of a proof, and limit callers that flood',
  },
  'replay-store-secret': {
    because: 'the replicas do not have the same secret for the replay store',
    fix: 'give all of them the same file',
  },
  'caller-not-expected': {
    because: 'the caller is authentic, and not one whom this service or route expects',
    fix: 'add it to peer of the authenticator or route, or let it call what it is meant to call',
  },
  'profile-off': {
    because: 'the caller uses an older generation of proofs, which is not on here for it',
    fix: 'upgrade the caller, or switch the profile on for its trust domain with an end date',
  },
  'profile-ended': {
    because: 'the end date of the older profile has passed',
    fix: 'upgrade the caller, or move until of its rule',
  },
  'profile-downgrade': {
    because: 'the caller goes back to a weaker profile than it has used before',
    fix: 'look whether an old instance still runs; otherwise treat it as an attack',
  },
  'token-too-large': {
    because: 'a token is longer than verifiers accept',
    fix: 'take claims out: names of tools and rights are what grows',
  },
  'authority-unknown': {
    because: 'the certificate was not issued by an authority that is known here for its trust domain',
    fix: 'follow the bundle and keep no copy; compare the CA with aims bundle show; another system may issue for the same name',
  },
  'proxy-not-vouched': {
    because: 'the proxy may not speak for the caller that it names',
    fix: 'add the caller to vouchesFor of this proxy',
  },
  'signature-changed': {
    because: 'the request is not the one that was signed, or was signed with another key',
    fix: 'look for a proxy that changes method, path, query or signed fields; take WIT and key from one source at one time',
  },
}

/** By code, and by the difference in the failed check. */
export const CAUSES_OF_AUTHENTICATION: CausesOfCode = {
  'proof.expired': {
    'before-its-wit': ['caller-clock-behind'],
    'slow-body': ['body-too-slow'],
    waited: ['message-waited'],
    [ANY]: ['proof-late', 'caller-clock-behind'],
  },
  'proof.not_yet_valid': { [ANY]: ['caller-clock-ahead', 'service-clock-behind'] },
  'proof.lifetime_too_long': { ahead: ['caller-clock-ahead'], [ANY]: ['proof-lives-too-long'] },
  'signature.expired': {
    'before-its-wit': ['caller-clock-behind'],
    'slow-body': ['body-too-slow'],
    [ANY]: ['proof-late', 'caller-clock-behind'],
  },
  'signature.not_yet_valid': { [ANY]: ['caller-clock-ahead', 'service-clock-behind'] },
  'signature.lifetime_too_long': { ahead: ['caller-clock-ahead'], [ANY]: ['proof-lives-too-long'] },
  'credential.expired': {
    'slow-body': ['body-too-slow'],
    waited: ['wit-ended-while-waiting', 'credential-not-renewed'],
    [ANY]: ['credential-not-renewed'],
  },
  'credential.not_yet_valid': { [ANY]: ['service-clock-behind'] },
  'credential.issued_in_future': { [ANY]: ['service-clock-behind'] },
  'credential.lifetime_too_long': { [ANY]: ['credential-lives-too-long'] },
  'credential.audience_mismatch': { [ANY]: ['wrong-audience'] },
  'credential.untrusted_domain': { scheme: ['trust-domain-other-scheme'], [ANY]: ['trust-domain-unknown'] },
  'credential.wrong_trust_domain': { [ANY]: ['trust-domain-unknown'] },
  'credential.unknown_key': { 'no-keys': ['bundle-without-keys'], [ANY]: ['signing-key-unknown'] },
  'credential.invalid_signature': { [ANY]: ['credential-forged'] },
  'credential.revoked': { [ANY]: ['credential-revoked'] },
  'credential.revocation_unknown': { [ANY]: ['revocations-unknown'] },
  'credential.too_large': { [ANY]: ['token-too-large'] },
  'proof.too_large': { [ANY]: ['token-too-large'] },
  'proof.audience_mismatch': {
    spelling: ['audience-spelling'],
    scheme: ['audience-scheme'],
    port: ['audience-port'],
    path: ['audience-is-target'],
    topic: ['wrong-topic'],
    [ANY]: ['wrong-audience'],
  },
  'signature.audience_mismatch': {
    spelling: ['audience-spelling'],
    scheme: ['audience-scheme'],
    port: ['audience-port'],
    path: ['audience-is-target'],
    [ANY]: ['wrong-audience'],
  },
  'proof.target_mismatch': {
    origin: ['origin-unknown'],
    'query-missing': ['query-left-out', 'query-changed'],
    query: ['query-changed'],
    spelling: ['path-respelled'],
    'prefix-removed': ['proxy-strips-prefix'],
    'prefix-added': ['proxy-adds-prefix'],
    [ANY]: ['proof-for-another-path'],
  },
  'proof.method_mismatch': { case: ['method-in-another-case'], [ANY]: ['proof-for-another-method'] },
  'proof.body_mismatch': {
    empty: ['body-read-before'],
    lost: ['body-read-before'],
    payload: ['message-changed'],
    [ANY]: ['body-changed'],
  },
  'proof.envelope_mismatch': { [ANY]: ['message-headers-changed'] },
  'authentication.body_read_before': { [ANY]: ['body-read-before'] },
  'signature.digest_mismatch': { [ANY]: ['body-changed', 'body-read-before'] },
  'proof.binding_missing': { [ANY]: ['proof-names-too-little'] },
  'signature.not_covered': { [ANY]: ['proof-names-too-little'] },
  'signature.invalid_signature': { [ANY]: ['signature-changed', 'key-mismatch'] },
  'proof.invalid_signature': { [ANY]: ['key-mismatch'] },
  'proof.wit_mismatch': { [ANY]: ['proof-for-another-wit'] },
  'proof.alg_mismatch': { [ANY]: ['algorithm-mismatch'] },
  'proof.replayed': { message: ['message-delivered-twice'], [ANY]: ['proof-used-twice'] },
  'signature.replayed': { [ANY]: ['proof-used-twice'] },
  'proof.replay_store_unavailable': { [ANY]: ['replay-store-away'] },
  'proof.replay_store_full': { [ANY]: ['replay-store-full'] },
  'proof.replay_store_secret_mismatch': { [ANY]: ['replay-store-secret'] },
  'authentication.duplicate_field': { message: ['message-unproven'], [ANY]: ['field-sent-twice'] },
  'authentication.wit_as_bearer': { [ANY]: ['wit-as-bearer'] },
  'authentication.missing_proof': { message: ['message-unproven'], [ANY]: ['proof-missing'] },
  'authentication.missing_credential': { message: ['message-unproven'], [ANY]: ['wit-missing'] },
  'authentication.missing': {
    method: ['method-not-accepted'],
    message: ['message-unproven'],
    [ANY]: ['nothing-carried'],
  },
  'authentication.mixed_profiles': { [ANY]: ['two-proofs'] },
  'authentication.method_not_allowed': { [ANY]: ['method-not-accepted'] },
  'authentication.no_client_certificate': { [ANY]: ['no-client-certificate'] },
  'authentication.peer_unexpected': { [ANY]: ['caller-not-expected'] },
  'authentication.profile_disabled': { [ANY]: ['profile-off'] },
  'authentication.profile_expired': { [ANY]: ['profile-ended'] },
  'authentication.downgrade': { [ANY]: ['profile-downgrade'] },
  'authentication.not_vouched': { [ANY]: ['proxy-not-vouched'] },
  'x509.expired': { [ANY]: ['credential-not-renewed'] },
  'x509.not_yet_valid': { [ANY]: ['service-clock-behind'] },
  'x509.untrusted': { [ANY]: ['authority-unknown'] },
  'x509.untrusted_domain': { 'no-keys': ['bundle-without-keys'], [ANY]: ['trust-domain-unknown'] },
  'x509.wrong_trust_domain': { [ANY]: ['trust-domain-unknown'] },
}
