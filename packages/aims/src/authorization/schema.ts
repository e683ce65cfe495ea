import { encodeBase64url, sha256 } from '../base/bytes.ts'

/**
 * The Cedar schema that every AIMS policy is checked against.
 *
 * `Agent` is whoever calls and `Service` is whatever is called; a workload can be both. An agent is in its trust domain
 * and in one group per path prefix, by whole segments: `spiffe://example.com/agent/calendar-bot` is in
 * `AgentGroup::"spiffe://example.com/agent"`. The name of a group has the trust domain in it, which
 * `principal.path like "/agent/*"` has not: with federation that would also match agents of others.
 *
 * @see Cedar 4, "Schema format"
 */
export const CEDAR_SCHEMA: string = `// AIMS policy schema, version 3.

// e.g. TrustDomain::"example.com"
entity TrustDomain;

// All agents below a path, e.g. AgentGroup::"spiffe://example.com/agent"; the sub-agents of an agent are in the group of
// its own identifier
entity AgentGroup;

// The caller, e.g. Agent::"spiffe://example.com/agent/calendar-bot"
entity Agent in [AgentGroup, TrustDomain] {
  id: String,
  path: String,           // "/agent/calendar-bot"
  trustDomain: String,    // "example.com"
  method: String,         // "http-signature", "wit+wpt", "mtls", "forwarded", "jwt-svid"
  profile: String,        // "wimse", "aims-00" ...; "none" where there are none
  credential: String,     // kind of credential: "wit", "x509-svid" ...
  covers: { method: Bool, target: Bool, body: Bool },  // what the proof is bound to
  assurance: Long,        // of its attestation: 1 low, 2 moderate, 3 high; 0 where the credential does not say
  attestedBy: Set<String>,  // types of evidence: "unix", "tpm" ...
  model: String,          // of its manifest; "" where the credential does not say
  tools: Set<String>,     // of its manifest: the tools that its launcher gave it and its issuer allowed
  parent: String,         // of a sub-agent: the agent that made it; "" for others
  rights: Set<String>,    // of a sub-agent: all it may do, "call spiffe://example.com/service/calendar#create_event" ...
};

// On whose behalf the agent acts: issuer, #, subject, e.g. User::"https://login.example.com#alice"
entity User;

// What is called, e.g. Service::"spiffe://example.com/service/events-api"
entity Service in [TrustDomain];

// A tool of an MCP server, e.g. Tool::"spiffe://example.com/service/calendar#create_event"
entity Tool in [Service, TrustDomain] { name: String };

// Facts of one request, by name: context.facts.hasTag("ticket") && context.facts.getTag("ticket") == "T-1"
entity Facts tags String;
entity Numbers tags Long;

type Http = { path: String, user?: User, facts: Facts, numbers: Numbers };
type Call = { user?: User, facts: Facts, numbers: Numbers };

action read, write;
action GET, HEAD, OPTIONS in [read] appliesTo { principal: Agent, resource: Service, context: Http };
action POST, PUT, PATCH, DELETE in [write] appliesTo { principal: Agent, resource: Service, context: Http };
action call appliesTo { principal: Agent, resource: Tool, context: Call };
`

/** `sha256:` and the base64url hash of {@link CEDAR_SCHEMA}. */
export const SCHEMA_VERSION: string = `sha256:${encodeBase64url(sha256(CEDAR_SCHEMA))}`
