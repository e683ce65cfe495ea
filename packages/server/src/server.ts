import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { dirname } from 'node:path'
import { type EvidenceVerifiers, joinTokenVerifier } from 'aims/attestation'
import { AimsError, type AuditEvent, bindSocket, type Clock, systemClock } from 'aims/base'
import { type BundleSource, serializeBundle } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import { createEvidenceIssuance } from './attestation/evidence-issuance.ts'
import { createVerifiers } from './attestation/verifiers.ts'
import { ANONYMOUS, tlsCallers, unixCallers } from './callers.ts'
import { keepDoing } from './chores.ts'
import { allowedHosts } from './config/derived.ts'
import type { Configuration } from './config/settings.ts'
import { openCore } from './core.ts'
import { type DataDirectory, openDataDirectory } from './data-directory.ts'
import { createDownstream } from './downstream/downstream.ts'
import { openFederation } from './federation/open.ts'
import { openWebEndpoint } from './federation/web-endpoint.ts'
import { closeServer } from './http/close-server.ts'
import { createHandler, type HandlerOptions } from './http/handler.ts'
import { type HttpsListener, listenHttps } from './http/https-listener.ts'
import type { Entrance } from './http/route.ts'
import { HTTP_OPTIONS, harden } from './http/server-options.ts'
import { createRequestLimits } from './limits/request-limits.ts'
import { connectForeign, foreignIdentity, type ListenerIdentity, ownListenerIdentity } from './listener-identity.ts'
import { createMetrics } from './metrics.ts'
import { openNodes } from './nodes/nodes.ts'
import { countingObserver } from './observers.ts'
import { loadPolicies } from './policies.ts'
import { limited, routeRefused } from './refusals.ts'
import { delegationsByRegistrar } from './registration/delegation.ts'
import { createLiveInstances } from './registration/live-instances.ts'
import { bundleRoute } from './routes/bundle.ts'
import { serverRoutes } from './routes/index.ts'
import { openStorage } from './storage.ts'
import { openAttestedThings } from './store/attested-things.ts'
import { openEvidenceMemory } from './store/evidence-memory.ts'
import { openJoinTokens } from './store/join-tokens.ts'
import { openSubAgents } from './sub-agents.ts'
import { createTrustTeller } from './trust.ts'

/** A server that runs. */
export interface RunningServer {
  /** Unix socket of the API. */
  readonly socketPath: string
  /** Port of the HTTPS listener. */
  readonly port: number
  /** Port of the bundle endpoint with a certificate of the web, where there is one. */
  readonly webPort: number | undefined
  /** The SPIFFE bundle of the trust domain as of now, WIT keys included: for programs in the same process. */
  bundle(): string
  /** Verifier key of the log. */
  readonly logKey: string
  /**
   * Reads the policies again, see `followPolicies`.
   *
   * @returns The version in force; `undefined` without policies.
   * @throws {@link AimsError} `policy.*`, `authorization.*`: then the set before decides on
   */
  reloadPolicies(): Promise<string | undefined>
  /** Stops: no new requests, those under way end within 10 s, and everything is on disk. */
  close(): Promise<void>
}

/** What a program may exchange. */
export interface ServerOptions {
  /** Default: the clock of the machine. */
  readonly clock?: Clock
  /** Takes lines about the server's own faults. Default: standard error. */
  readonly log?: (line: string) => void
  /** The verifiers of evidence. Default: those that the configuration switches on. */
  readonly verifiers?: EvidenceVerifiers
  /** An older store or log than the one remembered is right: it is recorded, with what was lost by it. Default: refused. */
  readonly acceptOlderStore?: boolean
}

/** Milliseconds. */
const TICK = 5000

/**
 * Starts the identity server: opens the data directory, checks that keys, store, log and clock belong together, makes
 * what is missing, and listens. When a step fails, everything before it is undone.
 *
 * @throws {@link AimsError} `operation.*`, `storage.*`, `audit.*`, `authorization.*`, `policy.*`
 */
export async function startServer(config: Configuration, options: ServerOptions = {}): Promise<RunningServer> {
  const undo: (() => unknown)[] = []
  try {
    return await start(config, options, undo)
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}

async function start(config: Configuration, options: ServerOptions, undo: (() => unknown)[]): Promise<RunningServer> {
  const { clock = systemClock, log: say = (line) => void process.stderr.write(`${line}\n`) } = options
  const { trustDomain } = config
  const data: DataDirectory = openDataDirectory(config.dataDirectory)
  undo.push(() => data.release())
  const storage = openStorage(data, config, clock, options)
  undo.push(() => storage.close())
  const metrics = createMetrics()
  const observer = countingObserver(storage.log, metrics)
  await storage.rollback.begin(observer, say)

  const tokens = openJoinTokens(storage.db, storage.seal)
  const memory = openEvidenceMemory(storage.db, storage.seal)
  const workloadApi = config['listen.workloadApi']
  const foreign = workloadApi === undefined ? undefined : await connectForeign(workloadApi, say)
  undo.push(() => foreign?.close())
  // Relationships are opened later, and count as soon as they are.
  let others: BundleSource | undefined
  const bundleFor = (wanted: TrustDomain) => others?.bundleFor(wanted) ?? foreign?.bundles.bundleFor(wanted)
  const surroundings = {
    collateral: data.file('collateral'),
    memory,
    trustDomain,
    bundles: { bundleFor },
    env: process.env,
  }
  // Join tokens are always on: nobody has one whom no operator gave it.
  const verifiers = new Map([
    ['join-token' as const, joinTokenVerifier(tokens)],
    ...(options.verifiers ?? createVerifiers(config.attestation, surroundings)),
  ])

  const refusals = {
    unix: limited('unix', observer, { clock, metrics }),
    https: limited('https', observer, { clock, metrics }),
    evidence: limited('evidence', observer, { clock, metrics }),
    entries: limited('entries', observer, { clock, metrics }),
  }
  const core = await openCore(config, storage, clock, { observer, refusals: refusals.entries }, verifiers)
  const { entries, authorities, changes, issuer, endings, steady, register } = core
  const engine = await loadPolicies(config['policies.directory'], observer)
  const failed = (error: unknown): void =>
    say(`aims server: federation: ${AimsError.is(error) ? error.message : 'failed'}`)
  const federation = await openFederation({ config, storage, clock, observer, authorities, failed })
  undo.push(() => federation.close())
  others = federation
  federation.onChange(changes.notify)
  const trust = createTrustTeller({ authorities, federation, entries, revision: changes.revision })
  const things = openAttestedThings(storage.db, storage.seal)
  const nodes = openNodes({
    federation,
    config,
    storage,
    verifiers,
    tokens,
    things,
    clock,
    observer,
    refusals: refusals.evidence,
    ...core,
  })
  const live = createLiveInstances({ observer, agentPrefixes: config['entries.agentPrefixes'] })
  const evidence = createEvidenceIssuance({
    session: nodes.session,
    verifiers,
    things,
    issuer,
    clock,
    observer: refusals.evidence,
    live,
    matchEntries: entries.match,
  })

  const downstream = createDownstream({
    trustDomain,
    authorities,
    neighbours: storage.neighbours,
    bindings: core.bindings,
    ttl: config['keys.downstreamTtl'],
    clock,
    observer,
    findBySubject: entries.findBySubject,
  })
  const bundles: BundleSource = {
    bundleFor: (wanted) => (wanted === trustDomain ? authorities.bundle() : undefined),
  }
  const { revocations } = endings
  // Agents that wait are looked at again.
  revocations.onChange(changes.notify)

  const stopping = new AbortController()
  let ready = false
  const routes = serverRoutes({
    config,
    storage,
    clock,
    observer,
    entries,
    authorities,
    issuer,
    evidence,
    things,
    nodes,
    downstream,
    federation,
    changes,
    engine,
    bindings: core.bindings,
    endings: { ...endings, changes: endings.revocationChanges },
    subAgents: openSubAgents({ trustDomain, bundles, authorities, entries, revocations, register, clock, observer }),
    metrics,
    trust,
    live,
    isReady: () => ready,
  })
  const limits = createRequestLimits(config)
  const handler = (
    entrance: Entrance,
    identify: HandlerOptions['identify'],
    hosts: HandlerOptions['allowedHosts'],
    reachable = routes,
  ) =>
    createHandler({
      routes: reachable,
      entrance,
      identify,
      allowedHosts: hosts,
      limit: limits.admit,
      refused: (caller, route, refusal) => refusals[entrance].record(routeRefused(caller, route, refusal)),
      answered: (route, status) => metrics.count('aims_http_requests_total', { route, status: String(status) }),
      failed: (error, id) => {
        metrics.count('aims_internal_errors_total')
        say(`aims server: request ${id}: ${error instanceof Error ? (error.stack ?? error.message) : 'unknown error'}`)
      },
      stopping: stopping.signal,
    })

  const api = createServer(HTTP_OPTIONS, handler('unix', await unixCallers(config), undefined))
  harden(api)
  const socketPath = config['api.socket']
  // In the data directory nobody else gets at it; elsewhere the group of the server does, and the kernel says who it is.
  const mode = dirname(socketPath) === data.path ? 0o600 : 0o660
  const bound = await bindSocket(api, { path: socketPath, mode })
  undo.push(() => bound.release())
  undo.push(() => closeServer(api))

  const { findBySubject } = entries
  const identity: ListenerIdentity = foreign === undefined ? await ownListenerIdentity(core) : foreignIdentity(foreign)
  let svid = identity.first
  const https: HttpsListener = await listenHttps(
    handler(
      'https',
      tlsCallers({
        trustDomain,
        bundles,
        clock,
        observer: refusals.https,
        revocations,
        findBySubject,
        agents: nodes.agents,
        delegations: delegationsByRegistrar(config['entries.delegations']),
      }),
      allowedHosts(config),
    ),
    { host: config['listen.host'], port: config['listen.port'] },
    svid,
  )
  undo.push(() => closeServer(https.server))
  const everybody = handler('https', () => ANONYMOUS, undefined, [bundleRoute(authorities)])
  const web = await openWebEndpoint(config, everybody)
  if (web !== undefined) undo.push(() => closeServer(web.server))
  const listeners = [api, https.server, ...(web === undefined ? [] : [web.server])]

  const keepOwnSvid = async (): Promise<void> => {
    const next = await identity.next(svid)
    if (next === undefined) return
    svid = next
    https.use(next)
  }
  const stopChores = keepDoing(
    {
      'servers below': downstream.prune,
      authorities: authorities.advance,
      'own identity': keepOwnSvid,
      federation: federation.advance,
      ...Object.fromEntries(Object.entries(refusals).map(([at, one]) => [`refusals at ${at}`, () => one.flush()])),
      'bindings of keys': () => core.bindings.purge(steady()),
      'attested machines': () => things.purge(steady()),
      'join tokens': () => tokens.purge(steady()),
      revocations: revocations.purge,
      'retired identities': () => register.purge(steady()),
      'certificate of the web': () => web?.reload(),
    },
    { interval: TICK, log: say },
  )
  undo.push(stopChores)
  // A tainted authority: not in a few seconds, now. What keeps it from that is told by the chore.
  undo.push(identity.onChange(() => void keepOwnSvid().catch(() => undefined)))
  for (const { profile, until } of config.profiles) {
    if (until > clock()) continue
    const last = new Date((until - 1) * 1000).toISOString().slice(0, 10)
    say(`aims server: profile ${profile} is off: its last day was ${last}. Give it a later one, or take it out`)
  }

  await observer.record(lifecycle('operation.started', 'start', config))
  ready = true
  federation.advance()
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    ready = false
    stopChores()
    stopping.abort()
    await Promise.all([...listeners.map(closeServer), federation.close()])
    foreign?.close()
    bound.release()
    for (const one of Object.values(refusals)) await one.flush({ all: true })
    await observer.record(lifecycle('operation.stopped', 'stop', config))
    storage.close()
    data.release()
  }
  return {
    socketPath,
    port: https.port,
    webPort: web?.port,
    bundle: () => serializeBundle(authorities.bundle(), { includeWit: true }),
    logKey: storage.log.vkey,
    reloadPolicies: async () => await engine?.reload(),
    close: () => (closing ??= close()),
  }
}

function lifecycle(type: AuditEvent['type'], action: string, config: Configuration): AuditEvent {
  return {
    type,
    resource: { type: 'server', id: config.trustDomain },
    action,
    decision: 'none',
    correlationId: randomUUID(),
    details: { pid: process.pid, profiles: config.profiles.map(({ profile }) => profile).join(' ') || 'none' },
  }
}
