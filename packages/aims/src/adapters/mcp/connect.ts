import { createAuthenticator } from '../../authentication/authenticate.ts'
import { createMemoryReplayStore } from '../../authentication/replay/memory.ts'
import type { AuthenticatorOptions } from '../../authentication/request.ts'
import { createAuthorizer } from '../../authorization/authorizer.ts'
import { createCedarEngine } from '../../authorization/cedar-engine.ts'
import type { Observer } from '../../base/event.ts'
import { stderrObserver } from '../../base/stderr-observer.ts'
import { parseSpiffeId } from '../../identifiers/spiffe-id.ts'
import { loadPolicyDirectory } from '../../policy/policy-directory.ts'
import { type Connected, connect } from '../../provisioning/connect/connect.ts'
import type { ToolFacts } from './access-request.ts'
import type { McpEndpoint } from './messages.ts'
import { parseResource } from './metadata.ts'
import { type McpHttpHandler, type McpListener, type ProtectMcpOptions, protectMcp } from './protect.ts'
import { withAims } from './with-aims.ts'

/** What a server says about itself; the rest has a default. */
export interface ConnectMcpOptions extends Omit<ProtectMcpOptions, 'observer' | 'rules'> {
  /** Folder with the policies, `*.cedar`. */
  readonly policies: string
  /** Which of its identities this server uses, e.g. `spiffe://example.com/service/weather`. Default: the first. */
  readonly id?: string
  /** What policies see of the arguments of a tool. Default: each argument under its own name. */
  readonly facts?: { readonly [tool: string]: ToolFacts }
  /** Receives refusals and decisions. Default: a line of JSON each on stderr. */
  readonly observer?: Observer
  /** Who this server is. Default: `connect()`, which is then closed with this. */
  readonly workload?: Connected
  /** Further options of the authenticator. */
  readonly authentication?: Partial<Omit<AuthenticatorOptions, 'bundles' | 'observer' | 'audiences'>>
}

/** An MCP server's identity, and what protects the server by it. */
export interface ConnectedMcp extends Disposable {
  /** Who this server is: to call others in its own name. */
  readonly workload: Connected
  /** {@link protectMcp} with the options given. */
  protect(handler: McpHttpHandler): McpListener
  /** {@link withAims} with the options given. */
  guard<S extends McpEndpoint | { readonly server: McpEndpoint }>(server: S): S
  close(): void
}

const REPLAYS = 100_000

/**
 * All that an MCP server needs, on one line: finds out who it is, loads its policies, and gives `protect` for its HTTP
 * handler and `guard` for its server. The audience of proofs is `resource`. Proofs are remembered in memory: servers that
 * share a `resource` need a store of their own in `authentication.replays`.
 *
 * @throws {@link AimsError} as `connect`, `parseSpiffeId` and `loadPolicyDirectory`; TypeError for a `resource` that is no URL
 */
export async function connectMcp(options: ConnectMcpOptions): Promise<ConnectedMcp> {
  const { policies, id, facts, observer = stderrObserver, authentication = {}, ...protecting } = options
  parseResource(options.resource)
  const engine = await createCedarEngine(await loadPolicyDirectory(policies))
  const workload = options.workload ?? (await connect(id === undefined ? {} : { spiffeId: parseSpiffeId(id) }))
  const authorizer = createAuthorizer({ engine, observer })
  const authenticator = createAuthenticator({
    replays: createMemoryReplayStore({ capacity: REPLAYS }),
    ...authentication,
    bundles: workload.bundles,
    audiences: [options.resource],
    observer,
  })
  const rules = { id: workload.spiffeId, authorizer, ...(facts === undefined ? {} : { facts }) }
  const close = (): void => {
    if (options.workload === undefined) workload.close()
  }
  return {
    workload,
    protect: (handler) => protectMcp(authenticator, handler, { ...protecting, observer, rules }),
    guard: (server) => withAims(server, rules),
    close,
    [Symbol.dispose]: close,
  }
}
