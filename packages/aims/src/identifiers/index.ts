export { type ExternalNameMapper, mapExternalNames } from './external-name.ts'
export { anyOf, type IdMatcher, isBelow, isExactly, isMemberOf, isOneOf, requireMatch } from './matcher.ts'
export {
  isSpiffeId,
  joinSpiffeId,
  parseSpiffeId,
  parseWorkloadSpiffeId,
  pathOf,
  type Scheme,
  type SpiffeId,
  schemeOf,
  type TrustDomain,
  trustDomainOf,
  type WorkloadId,
} from './spiffe-id.ts'
export { ancestorsOf, isChildOf, isSelfOrDescendant, joinSubAgentId } from './sub-agent-id.ts'
export { parseTrustDomain, trustDomainId } from './trust-domain.ts'
export { parseWimseId } from './wimse-id.ts'
