import { sha256Base64url } from '../base/bytes.ts'
import type { AuditEvent, Observer } from '../base/event.ts'
import { withoutSecrets } from '../base/secret-text.ts'
import { authorize } from './authorize.ts'
import type { Decision } from './decision.ts'
import { decisionChecks } from './decision-checks.ts'
import type { PolicyEngine } from './engine.ts'
import { type AccessRequest, findRequestProblem } from './request.ts'

/** Decides and records. Made by {@link createAuthorizer}. */
export interface Authorizer {
  /**
   * Decides a request; the record is durable before the decision is known to the caller.
   *
   * @param correlationId - Ties this record to the others of the same transaction.
   * @throws whatever the observer rejects with: what cannot be recorded is not allowed to happen.
   */
  authorize(request: AccessRequest, correlationId: string): Promise<Decision>
}

/** What an authorizer is made of. */
export interface AuthorizerOptions {
  readonly engine: PolicyEngine
  /** Receives `authorization.decided` for every decision, allow and deny alike. */
  readonly observer: Observer
}

/** An authorizer over one engine, which reports every decision to an observer. */
export function createAuthorizer({ engine, observer }: AuthorizerOptions): Authorizer {
  return {
    authorize: async (request, correlationId) => {
      const decision = authorize(request, engine)
      await observer.record(decidedEvent(request, decision, correlationId))
      return decision
    },
  }
}

function decidedEvent(request: AccessRequest, decision: Decision, correlationId: string): AuditEvent {
  const policy = { ids: decision.policies, version: decision.policySet }
  const base = { type: 'authorization.decided', decision: decision.effect, policy, correlationId } as const
  if (decision.effect === 'deny' && decision.because === 'invalid-request') {
    // Nothing of a request that failed its checks is repeated in the log.
    const problem = findRequestProblem(request) ?? 'none'
    return {
      ...base,
      action: 'none',
      resource: { type: 'none', id: 'none' },
      reasons: ['invalid-request', problem],
      checks: decisionChecks(decision),
    }
  }
  const { principal, action, resource, user } = request
  return {
    ...base,
    agent: {
      id: principal.id,
      credential: principal.credential,
      method: principal.method,
      ...(principal.profile !== undefined && { profile: principal.profile }),
    },
    ...(user !== undefined && { subject: { id: user.subject, issuer: user.issuer, type: 'user' } }),
    resource: {
      type: resource.kind,
      id: resource.kind === 'tool' ? `${resource.server}#${withoutSecrets(resource.name)}` : resource.id,
    },
    action: action.kind === 'http' ? action.method : 'call',
    reasons: decision.effect === 'deny' ? [decision.because, ...decision.policies] : decision.policies,
    ...(decision.effect === 'deny' && { checks: decisionChecks(decision) }),
    details: { ...(action.kind === 'http' && { path: withoutSecrets(action.path) }), inputs: hashOfInputs(request) },
  }
}

/** Everything a policy can see, in a fixed order: a later evaluation can show that it had the same input. */
function hashOfInputs({ principal, action, resource, user, context = {} }: AccessRequest): string {
  const { id, method, profile, credential, covers, delegation } = principal
  const facts = Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1))
  return sha256Base64url(
    JSON.stringify([
      [id, method, profile ?? null, credential.type, covers.method, covers.target, covers.body],
      action.kind === 'http' ? [action.method, action.path] : ['call'],
      resource.kind === 'tool' ? [resource.server, resource.name] : [resource.id],
      user === undefined ? null : [user.issuer, user.subject],
      facts,
      ...(delegation === undefined ? [] : [[delegation.parent, delegation.rights]]),
    ]),
  )
}
