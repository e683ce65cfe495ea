import type { Check } from './check.ts'

/** `area.what-happened`, e.g. `provisioning.issued`, `authentication.refused`. */
export type AuditEventType = `${string}.${string}`

/**
 * Something that happened and must be known afterwards. The fields are the seven that AIMS asks for at least.
 * Never a token, key or claim value: a credential is named by its serial, `jti` or thumbprint.
 *
 * @see draft-ietf-wimse-aims-00, section "Agent Monitoring, Observability and Remediation"
 */
export interface AuditEvent {
  readonly type: AuditEventType
  /** 1. The agent, and how it was authenticated. Absent only when nobody was. */
  readonly agent?: {
    readonly id: string
    readonly credential?: { readonly type: string; readonly id: string }
    /** `mtls`, `wit+wpt`, `jwt-svid`, `unix` ... */
    readonly method?: string
    readonly profile?: string
  }
  /** 2. The user or system on whose behalf the agent acts, when there is one. */
  readonly subject?: { readonly id: string; readonly issuer?: string; readonly type?: string }
  /** 3. What was accessed. */
  readonly resource: { readonly type: string; readonly id: string }
  /** 4. What was asked, what was answered, and by which rules. */
  readonly action: string
  readonly decision: 'allow' | 'deny' | 'none'
  readonly policy?: { readonly ids: readonly string[]; readonly version: string }
  /** Error codes or policy ids that explain the decision. */
  readonly reasons?: readonly string[]
  /** The checks behind a refusal in their order; the last one failed. At most 32. */
  readonly checks?: readonly Check[]
  /** 5. The time is set by the log; this ties the records of one transaction together. */
  readonly correlationId: string
  /** 6. Attestation or risk state that influenced the decision. */
  readonly posture?: { readonly type: string; readonly binding?: string; readonly selectors?: readonly string[] }
  /** 7. Remediation or revocation, and its cause. */
  readonly remediation?: { readonly action: string; readonly cause: string }
  /** Further facts, flat and small. */
  readonly details?: { readonly [name: string]: string | number | boolean }
}

/**
 * Takes note of events. Every layer reports; none knows who listens.
 *
 * The promise resolves when the event is durable. Whoever is about to make an effect visible awaits it first,
 * and does not go on when it rejects.
 */
export interface Observer {
  record(event: AuditEvent): Promise<void>
}

/** An observer that keeps nothing. For verifiers that run offline, and for tests. */
export const noObserver: Observer = { record: async () => undefined }
