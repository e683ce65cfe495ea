import { createAuthenticator } from 'aims/authentication'
import { createAuthorizer, type PolicyEngine } from 'aims/authorization'
import { apiClient, noObserver, type Observer } from 'aims/base'
import {
  createGate,
  type ForwardAuthProxy,
  type Gate,
  type GateOptions,
  type GatewayTls,
  type RunningGateway,
  startExtAuthz,
  startForwardAuth,
  startHealth,
  startSidecar,
} from 'aims/gateway'
import { type IdMatcher, trustDomainOf, type WorkloadId } from 'aims/identifiers'
import { remoteObserver } from 'aims/monitoring'
import { type FollowedPolicies, followPolicies } from 'aims/policy'
import { connectWorkload, type FollowedRevocations, followRevocations, type Workload } from 'aims/provisioning'
import { UsageError } from '../exit.ts'
import type { Running } from '../running.ts'
import { boundedRecords } from './recording.ts'
import { openReplays } from './replays.ts'
import type { GatewayConfiguration } from './settings.ts'

/** Which gateway is meant. */
export type GatewayMode =
  | { readonly kind: 'sidecar' }
  | { readonly kind: 'ext-authz' }
  | { readonly kind: 'forward-auth'; readonly proxy: ForwardAuthProxy }

/** A gateway that runs, and who it is. */
export interface StartedGateway extends Running {
  readonly address: string
  readonly spiffeId: string
  /** The version of the policies in force, where there are some. */
  readonly policySet: string | undefined
  /**
   * Reads the policies again.
   *
   * @returns The version in force; `undefined` without policies.
   * @throws {@link AimsError} `policy.*`, `authorization.*`: then the set before decides on
   */
  reloadPolicies(): Promise<string | undefined>
}

/**
 * Starts a gateway as the configuration says, as the workload that the Workload API says this process is.
 *
 * @param log - Takes a record, where no server does.
 */
export async function startGateway(
  config: GatewayConfiguration,
  mode: GatewayMode,
  log: Observer,
): Promise<StartedGateway> {
  requireComplete(config, mode)
  const opened: Running[] = []
  const stop = async (): Promise<void> => {
    for (const part of opened.reverse()) await part.close()
  }
  try {
    const { 'gateway.id': spiffeId } = config
    const me = await connectWorkload(spiffeId === undefined ? {} : { spiffeId })
    opened.push(closing(() => me.close()))
    const observer = boundedRecords(observerOf(config, log, opened), mode.kind)
    opened.push(observer)
    const revocations = revocationsOf(config, me, opened)
    const policies = await policiesOf(config)
    const gate = await gateOf(config, mode, { me, observer, revocations, policies }, opened)
    const gateway = await listen(config, mode, gate, tlsOf(config, mode, { me, observer, revocations, policies }))
    opened.push(gateway)
    const { 'gateway.health': health } = config
    if (health !== undefined) opened.push(await startHealth(health))
    return {
      address: gateway.address,
      spiffeId: me.spiffeId,
      policySet: policies?.version,
      reloadPolicies: async () => await policies?.reload(),
      close: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

const NO_SERVICE = 'a sidecar needs --service, the address of the service behind it'

// Before anything is waited for.
function requireComplete(config: GatewayConfiguration, mode: GatewayMode): void {
  const isSidecar = mode.kind === 'sidecar'
  if (isSidecar && config['gateway.service'] === undefined) throw new UsageError(NO_SERVICE)
  if (!isSidecar && config['gateway.tls'] && config['gateway.proxies'] === undefined) {
    throw new UsageError('with TLS, gateway.proxies says who may ask')
  }
}

interface Parts {
  readonly me: Workload
  readonly observer: Observer
  readonly revocations: FollowedRevocations | undefined
  readonly policies: FollowedPolicies | undefined
}

function closing(close: () => void): Running {
  return { close: async () => close() }
}

function observerOf(
  { 'gateway.reportTo': socketPath }: GatewayConfiguration,
  log: Observer,
  opened: Running[],
): Observer {
  if (socketPath === undefined) return log
  const api = apiClient({ socketPath })
  opened.push(closing(() => api.close()))
  return remoteObserver(api)
}

function revocationsOf(
  { 'gateway.revocationStaleness': maxStaleness }: GatewayConfiguration,
  me: Workload,
  opened: Running[],
): FollowedRevocations | undefined {
  if (maxStaleness === undefined) return undefined
  const revocations = followRevocations({
    server: me.client,
    trustDomain: trustDomainOf(me.spiffeId),
    bundles: me.bundles,
    maxStaleness,
  })
  opened.push(closing(() => revocations.close()))
  return revocations
}

async function gateOf(
  config: GatewayConfiguration,
  mode: GatewayMode,
  { me, observer, revocations, policies }: Parts,
  opened: Running[],
): Promise<Gate> {
  const { 'gateway.callers': callers, 'gateway.routes': routes } = config
  const replays = await openReplays(config)
  opened.push({ close: async () => await replays.close() })
  const { 'gateway.proxies': proxy, 'gateway.vouchesFor': vouchesFor } = config
  const usual = [
    'http-signature',
    'wit+wpt',
    ...(mode.kind === 'sidecar' && config['gateway.tls'] ? ['mtls' as const] : []),
  ] as const
  const authenticator = createAuthenticator({
    bundles: me.bundles,
    audiences: config['gateway.audiences'],
    origins: config['gateway.origins'],
    methods: config['gateway.methods'] ?? usual,
    requireBinding: config['gateway.requireBinding'],
    replays,
    observer,
    ...(callers === undefined ? {} : { peer: callers }),
    ...(revocations === undefined ? {} : { revocations }),
    ...(proxy === undefined || vouchesFor === undefined ? {} : { proxies: [{ proxy, vouchesFor }] }),
    // A proxy that asks cannot pass a signed response on.
    ...(mode.kind === 'sidecar' ? { responses: { wits: me.wit } } : {}),
  })
  return createGate({
    authenticator,
    observer,
    refuseReservedFields: mode.kind === 'forward-auth',
    service: serviceOf(config, me),
    ...(routes === undefined ? {} : { routes }),
    ...(policies === undefined ? {} : { authorization: authorizationBy(policies, config, me, observer) }),
  })
}

// A reporter may not say which policies are in force: the command prints it, and each decision has it in its record.
async function policiesOf({
  'gateway.policies': directory,
}: GatewayConfiguration): Promise<FollowedPolicies | undefined> {
  return directory === undefined ? undefined : await followPolicies(directory, { observer: noObserver })
}

function authorizationBy(
  engine: PolicyEngine,
  config: GatewayConfiguration,
  me: Workload,
  observer: Observer,
): NonNullable<GateOptions['authorization']> {
  return { authorizer: createAuthorizer({ engine, observer }), service: serviceOf(config, me) }
}

function serviceOf({ 'gateway.serviceId': service }: GatewayConfiguration, me: Workload): WorkloadId {
  return service ?? me.spiffeId
}

function tlsOf(
  { 'gateway.tls': isOn, 'gateway.proxies': proxies }: GatewayConfiguration,
  mode: GatewayMode,
  { me, observer, revocations }: Parts,
): GatewayTls | undefined {
  if (!isOn) return undefined
  const isAsked = mode.kind !== 'sidecar'
  const everybody: IdMatcher = () => true
  return {
    source: me.x509,
    bundles: me.bundles,
    peer: isAsked && proxies !== undefined ? proxies : everybody,
    observer,
    admitWithoutCertificate: !isAsked,
    ...(revocations === undefined ? {} : { revocations }),
  }
}

async function listen(
  config: GatewayConfiguration,
  mode: GatewayMode,
  gate: Gate,
  tls: GatewayTls | undefined,
): Promise<RunningGateway> {
  const where = { gate, listen: config['gateway.listen'], ...(tls === undefined ? {} : { tls }) }
  const acceptUncheckedDigest = config['gateway.acceptUncheckedDigest']
  if (mode.kind === 'forward-auth')
    return await startForwardAuth({ ...where, proxy: mode.proxy, acceptUncheckedDigest })
  if (mode.kind === 'ext-authz') {
    const { 'gateway.seesBodies': seesBodies, 'gateway.acceptJoinedHeaders': acceptJoinedHeaders } = config
    return await startExtAuthz({ ...where, seesBodies, acceptJoinedHeaders, acceptUncheckedDigest })
  }
  const { 'gateway.service': address, 'gateway.serviceTimeout': seconds, 'gateway.maxBody': maxBody } = config
  if (address === undefined) throw new UsageError(NO_SERVICE)
  return await startSidecar({ ...where, maxBody, service: { address, timeout: seconds * 1000 } })
}
