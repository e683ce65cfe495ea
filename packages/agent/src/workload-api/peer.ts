import { type AttestationResult, type Attestor, type PeerCredentials, releasePeerCredentials } from 'aims/attestation'
import { AimsError, type AuditEvent, type Clock, createCorrelationId, type Observer } from 'aims/base'
import { postureOf } from '../posture.ts'
import type { WorkloadBackend } from '../workload-backend.ts'

/** What is needed to attest the callers of one socket. */
export interface PeerContext {
  readonly attestor: Attestor<PeerCredentials>
  readonly observer: Observer
  readonly clock: Clock
  /** Names the socket in records. */
  readonly resource: AuditEvent['resource']
  /** Who asks, when that is not the process itself. */
  readonly agent?: NonNullable<AuditEvent['agent']>
}

/** The process at the other end of one connection, or the one that a broker asks for. */
export class Peer {
  readonly credentials: PeerCredentials
  /** Ties the records of this connection together. */
  readonly correlationId: string = createCorrelationId()
  readonly #context: PeerContext
  #running: Promise<AttestationResult> | undefined
  #last: AttestationResult | undefined
  // What the last record said: attestation is recorded again only when its outcome has changed.
  #outcome = ''
  readonly #refusals = new Set<string>()

  constructor(credentials: PeerCredentials, context: PeerContext) {
    this.credentials = credentials
    this.#context = context
  }

  /**
   * Attests the process as it is now, and records that first. Calls at the same moment share one attestation.
   *
   * @throws {@link AimsError} `attestation.*`, when nobody can be attested; whatever the observer rejects with
   */
  attest(): Promise<AttestationResult> {
    this.#running ??= this.#attestNow().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Lets go of the process: its connection has closed. */
  async release(): Promise<void> {
    // An attestation that still runs needs the pidfd, or it would find a process gone that is not.
    await this.#running?.catch(() => undefined)
    releasePeerCredentials(this.credentials)
  }

  /** Notes that a call was refused, once for each reason, with what the backend says of it. */
  async recordRefusal(action: string, code: string, backend: Pick<WorkloadBackend, 'whyNone'> = {}): Promise<void> {
    const refusal = `${action} ${code}`
    if (this.#refusals.has(refusal)) return
    const known = this.#last
    await this.#record({
      type: 'provisioning.refused',
      action,
      decision: 'deny',
      reasons: [code],
      ...(known === undefined ? {} : { posture: postureOf(known), checks: backend.whyNone?.(known) ?? [] }),
    })
    this.#refusals.add(refusal)
  }

  /** Notes that the process did not take what it was given, once for each version of it. */
  async recordRejection(action: string, version: string, status: number): Promise<void> {
    const rejection = `${action} ${version}`
    if (this.#refusals.has(rejection)) return
    this.#refusals.add(rejection)
    await this.#record({ type: 'provisioning.rejected', action, decision: 'none', details: { version, status } })
  }

  async #attestNow(): Promise<AttestationResult> {
    const { attestor, clock } = this.#context
    try {
      const result = await attestor.attest(this.credentials, { now: clock() })
      this.#last = result
      await this.#recordOutcome(result.selectors.join('\n'), {
        type: 'attestation.succeeded',
        action: 'attest',
        decision: 'allow',
        posture: postureOf(result),
      })
      return result
    } catch (error) {
      if (!AimsError.is(error) || !error.code.startsWith('attestation.')) throw error
      await this.#recordOutcome(error.code, {
        type: 'attestation.refused',
        action: 'attest',
        decision: 'deny',
        reasons: [error.code],
      })
      throw error
    }
  }

  async #recordOutcome(outcome: string, event: Fact): Promise<void> {
    if (outcome === this.#outcome) return
    await this.#record(event)
    this.#outcome = outcome
  }

  async #record(event: Fact): Promise<void> {
    const { pid, uid, gid } = this.credentials
    const { observer, resource, agent } = this.#context
    await observer.record({
      ...event,
      ...(agent === undefined ? {} : { agent }),
      resource,
      correlationId: this.correlationId,
      details: { ...event.details, pid, uid, gid },
    })
  }
}

type Fact = Pick<AuditEvent, 'type' | 'action' | 'decision' | 'reasons' | 'checks' | 'posture' | 'details'>
