import type { Agent } from 'node:https'
import type { StreamableHTTPClientTransport, StreamableHTTPClientTransportOptions } from '@modelcontextprotocol/client'
import type { WitSource } from '../../credentials/wit/source.ts'
import { agentFetch } from '../agent-fetch.ts'
import { type ProvingFetchOptions, provingFetch } from '../fetch.ts'
import { requireNoCredentials } from './credential-arguments.ts'
import type { McpMessage } from './messages.ts'

/** Whom a transport talks to, and how it proves who does. */
export interface ProvingTransportOptions extends ProvingFetchOptions {
  readonly wits: WitSource
  /** Decides how the server is verified, and shows a certificate: `mtlsAgent`. Default: by its host name. Not with `fetch`. */
  readonly agent?: Agent
  /** Parameters with the name of a credential that are filled all the same. Default none. */
  readonly acceptCredentialArguments?: readonly string[]
  /** Further options of the SDK's transport. `fetch` and `authProvider` are taken. */
  readonly transport?: Omit<StreamableHTTPClientTransportOptions, 'fetch' | 'authProvider'>
}

/**
 * A transport for the client of the official MCP SDK (`@modelcontextprotocol/client`, an optional peer) that proves who
 * sends each request: messages, the stream, and the end of the session, each with a proof of its own. Redirects are an error.
 *
 * With `httpSignature`, messages are signed and their responses checked; the stream by GET, which has no end that could be
 * signed, has a proof token.
 *
 * What the model has written as arguments is looked through: a member with the name of a credential, or text that looks
 * like one, is refused before anything is sent (`mcp.credential_argument`).
 *
 * @throws TypeError as `provingFetch`, and for an `agent` that does not verify servers
 */
export async function provingTransport(
  url: string | URL,
  options: ProvingTransportOptions,
): Promise<StreamableHTTPClientTransport> {
  const { wits, agent, acceptCredentialArguments = [], transport = {}, ...proving } = options
  const sdk = await import('@modelcontextprotocol/client')
  const over = agent === undefined ? proving : { ...proving, fetch: agentFetch(agent) }
  const { httpSignature: _, ...unsigned } = over
  const fetchMessages = provingFetch(wits, over)
  const fetchStream = provingFetch(wits, unsigned)
  class ProvingTransport extends sdk.StreamableHTTPClientTransport {
    override send(...[message, ...rest]: Parameters<StreamableHTTPClientTransport['send']>): Promise<void> {
      const messages: readonly McpMessage[] = Array.isArray(message) ? message : [message]
      try {
        for (const one of messages) requireNoCredentials(one, acceptCredentialArguments)
      } catch (error) {
        return Promise.reject(error)
      }
      return super.send(message, ...rest)
    }
  }
  return new ProvingTransport(new URL(url), {
    ...transport,
    fetch: (target, init) => (init?.method === 'GET' ? fetchStream : fetchMessages)(target, init),
  })
}
