import type { AccessRequest } from './request.ts'

/** What the policies say, before anyone weighs it: ids of policies, sorted. */
export interface Evaluation {
  readonly permits: readonly string[]
  readonly forbids: readonly string[]
  /** Policies that could not be evaluated for this request. One is enough to deny. */
  readonly failed: readonly string[]
}

/**
 * Evaluates requests against one policy set. Weighing the outcome is {@link authorize}'s job, so that no engine can
 * allow by mistake what a forbid or an error must deny.
 */
export interface PolicyEngine {
  /** The content hash of the policy set, `sha256:...`. Same version and same request give the same evaluation. */
  readonly version: string
  /** Synchronous and without I/O. May throw: that denies. */
  evaluate(request: AccessRequest): Evaluation
}

/** What an engine needs to know of a policy set. `policy/` makes them. */
export interface PolicySource {
  /** The content hash of everything that follows and of the schema. */
  readonly version: string
  readonly policies: readonly { readonly id: string; readonly text: string }[]
}
