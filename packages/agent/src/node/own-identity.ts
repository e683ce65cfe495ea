import type { EvidenceCollector } from 'aims/attestation'
import { AimsError, type Clock, troubleLog } from 'aims/base'
import type { TrustDomain } from 'aims/identifiers'
import { type AgentIdentity, attestAgent, type IdentityServer, renewAgent, signerOfChain } from 'aims/provisioning'
import { pause } from '../pause.ts'
import type { IdentityFile } from './identity-file.ts'

/** The agent's own identity, attested and renewed in the background. */
export interface OwnIdentity {
  /** What is held and has not expired; `undefined`: nothing yet, or nothing any more. */
  current(): AgentIdentity | undefined
  /** The server does not know what was held: attest anew, as soon as possible. */
  lose(identity: AgentIdentity): void
  /** Renews now: the server does not take what is held, or will not for long. */
  doubt(): void
  /** Says whose signatures are good for long; what another one signed is renewed now. */
  requireSigner(standing: ReadonlySet<string>): void
  /** Resolves with the first identity; rejects when this machine was refused before it had one. */
  readonly first: Promise<void>
  /** Ends attempts. What is kept on disk stays. */
  close(): void
}

/** What it works with. */
export interface OwnIdentityOptions {
  readonly trustDomain: TrustDomain
  readonly server: IdentityServer
  readonly collector: EvidenceCollector
  readonly file: IdentityFile
  readonly held: AgentIdentity | undefined
  readonly clock: Clock
  readonly random: () => number
  log(line: string): void
  /** Told when this machine was attested anew: it may be another agent than before, or one with other selectors. */
  attestedAnew(): void
  /** Told when the server said that this machine is no agent (any more): nothing may be served from now on. */
  refused(): void
}

/** Milliseconds between attempts. */
const FIRST_RETRY = 200
const LAST_RETRY = 15_000
/** When the server said no: an operator has to change something first. */
const REFUSED_RETRY = 60_000
// Its identity ended while it was cut off, or was taken away: nothing that it holds proves who it is.
const NEW_TOKEN =
  'aims agent: a join token is good once: aims token create --name NAME --for agent makes another. Put it into the file of ' +
  'agent.joinTokenFile, which is read at every attempt, or into AIMS_JOIN_TOKEN and start the agent again'
/** Part of a lifetime by which renewals are spread. */
const JITTER = 0.1
const MAX_PAUSE = 3_600_000
/** Between two renewals, however short the lives are. */
const LEAST_PAUSE = 500

/**
 * Keeps the identity of an agent: attests this machine when there is none, and renews at half of its life, spread so that a
 * fleet does not come at once, with a new key each time. While the server is away it tries again, slower each time, and what
 * is held stays good to its end.
 */
export function keepOwnIdentity(options: OwnIdentityOptions): OwnIdentity {
  const { trustDomain, server, collector, file, clock, random } = options
  const stopping = new AbortController()
  const { signal } = stopping
  const trouble = troubleLog('aims agent', options.log)
  const first = Promise.withResolvers<void>()
  // Nobody has to wait for it.
  first.promise.catch(() => undefined)
  let held: AgentIdentity | undefined
  let renewAt = 0
  let retry = FIRST_RETRY
  let wake = new AbortController()
  let shown: AgentIdentity | undefined
  let isDistrusted = false

  const show = (identity: AgentIdentity | undefined): void => {
    if (identity === shown) return
    shown = identity
    server.present(identity?.svid)
  }
  const adopt = (identity: AgentIdentity, since: number): void => {
    const life = identity.svid.expiresAt - since
    renewAt = since + life / 2 - life * JITTER * random()
    held = identity
    isDistrusted = false
    show(identity)
    retry = FIRST_RETRY
    if (clock() < identity.svid.expiresAt) first.resolve()
  }
  const drop = (): void => {
    held = undefined
    show(undefined)
    file.keep(undefined)
  }
  const step = async (): Promise<number> => {
    const now = clock()
    if (held !== undefined && now < renewAt) return Math.min((renewAt - now) * 1000, MAX_PAUSE)
    // What has expired by our clock is kept: the clock may be what is wrong.
    const isWorthless = held === undefined || isDistrusted || now >= held.svid.expiresAt
    show(isWorthless ? undefined : held)
    const isNew = held === undefined || isWorthless
    const next =
      held === undefined || isWorthless
        ? await attestAgent(server, { trustDomain, collector, clock, signal })
        : await renewAgent(server, held, { trustDomain, signal })
    // On disk before it is shown: the server ends the former one when it sees this one.
    file.keep(next)
    adopt(next, clock())
    trouble.over('the own SVID was renewed')
    if (isNew) {
      options.log(`aims agent: attested as ${next.svid.spiffeId}`)
      options.attestedAnew()
    }
    return LEAST_PAUSE
  }
  const failed = (error: unknown): number => {
    trouble.tell(error, 'the own identity is not kept')
    if (AimsError.is(error) && error.code === 'provisioning.agent_unknown' && held !== undefined) {
      drop()
      return FIRST_RETRY * random()
    }
    if (AimsError.is(error) && error.code === 'attestation.token_unknown') options.log(NEW_TOKEN)
    // Its authority is gone, perhaps. Who may not be attested again waits for the operator, or for another clock.
    if (AimsError.is(error) && error.code === 'operation.unauthenticated') isDistrusted = held?.mayReattest === true
    if (isNo(error)) {
      first.reject(error)
      options.refused()
      return REFUSED_RETRY * (0.5 + random())
    }
    const milliseconds = retry * (0.5 + random())
    retry = Math.min(retry * 2, LAST_RETRY)
    return milliseconds
  }
  const keep = async (): Promise<void> => {
    while (!signal.aborted) {
      const milliseconds = await step().catch(failed)
      wake = new AbortController()
      await pause(milliseconds, AbortSignal.any([signal, wake.signal]))
    }
  }

  const doubt = (): void => {
    renewAt = 0
    wake.abort()
  }

  if (options.held !== undefined) adopt(options.held, options.held.svid.notBefore)
  void keep()
  return {
    first: first.promise,
    current() {
      if (held === undefined || clock() >= held.svid.expiresAt) return undefined
      // A clock that was wrong may be right again.
      show(held)
      return held
    },
    doubt,
    requireSigner(standing) {
      const signer = held === undefined ? '' : signerOfChain(held.svid.certificates)
      if (signer !== '' && !standing.has(signer)) doubt()
    },
    lose(identity) {
      if (held !== identity) return
      drop()
      wake.abort()
    },
    close() {
      stopping.abort()
      first.reject(new AimsError('operation.shutting_down', 'the agent was stopped'))
    },
  }
}

// The server looked at this machine and said no, and not that it could not.
function isNo(error: unknown): boolean {
  return (
    AimsError.is(error) &&
    (error.code === 'provisioning.agent_banned' || (error.code.startsWith('attestation.') && !NOT_A_NO.has(error.code)))
  )
}

const NOT_A_NO: ReadonlySet<string> = new Set([
  'attestation.collection_failed',
  'attestation.challenge_unknown',
  'attestation.collateral_missing',
  'attestation.collateral_expired',
])
