import type { AttestationResult } from 'aims/attestation'
import { AimsError, type AimsErrorCode } from 'aims/base'
import type { WorkloadIdentity } from '../workload-backend.ts'
import type { BrokerRule } from './rules.ts'
import type { BrokerTarget } from './target.ts'

/** Which rule lets a request through, and as which of its identities the workload makes it. */
export interface Decided {
  readonly rule: BrokerRule
  readonly identity: WorkloadIdentity
}

/** Who asks, and for what. */
export interface Asked {
  readonly attestation: AttestationResult
  readonly identities: readonly WorkloadIdentity[]
  readonly method: string
  readonly target: Pick<BrokerTarget, 'by' | 'path'>
}

// What is nearest to a permission explains a refusal best.
const BY_NEARNESS: readonly AimsErrorCode[] = [
  'egress.path_denied',
  'egress.method_denied',
  'egress.caller_denied',
  'egress.no_rule',
]

/**
 * Finds the first rule that allows a request. There are no rules that forbid: what none allows is refused.
 *
 * @throws {@link AimsError} `egress.no_rule`, `.caller_denied`, `.method_denied`, `.path_denied`
 */
export function decide(rules: readonly BrokerRule[], { attestation, identities, method, target }: Asked): Decided {
  const reasons = new Set<AimsErrorCode>(['egress.no_rule'])
  for (const rule of rules) {
    if (!isAbout(rule, target.by) || rule.credential.kind === 'tunnel') continue
    const identity = identityFor(rule, identities, attestation)
    if (identity === undefined) reasons.add('egress.caller_denied')
    else if (!rule.methods.has(method)) reasons.add('egress.method_denied')
    else if (!rule.paths.some((matches) => matches(target.path))) reasons.add('egress.path_denied')
    else return { rule, identity }
  }
  const code = BY_NEARNESS.find((one) => reasons.has(one)) ?? 'egress.no_rule'
  throw new AimsError(code, 'no rule of the broker allows this request')
}

/** Finds a rule that allows a tunnel. @throws {@link AimsError} `egress.tunnel_denied` */
export function decideTunnel(
  rules: readonly BrokerRule[],
  to: { readonly host: string; readonly port: number },
  { attestation, identities }: Pick<Asked, 'attestation' | 'identities'>,
): Decided {
  for (const rule of rules) {
    const identity = identityFor(rule, identities, attestation)
    if (rule.credential.kind === 'tunnel' && isAbout(rule, to) && identity !== undefined) return { rule, identity }
  }
  throw new AimsError('egress.tunnel_denied', 'no rule of the broker allows a tunnel to this destination')
}

function isAbout({ name, host, port }: BrokerRule, by: BrokerTarget['by']): boolean {
  return 'rule' in by ? by.rule === name : by.host === host && by.port === port
}

function identityFor(
  { agents, selectors }: BrokerRule,
  identities: readonly WorkloadIdentity[],
  attestation: AttestationResult,
): WorkloadIdentity | undefined {
  if (!selectors.every((selector) => attestation.selectors.includes(selector))) return undefined
  return identities.find(({ spiffeId }) => agents.some((matches) => matches(spiffeId)))
}
