import { AimsError, type ApiClient, type Clock, isJsonObject, type JsonValue } from 'aims/base'
import { parseBundle } from 'aims/credentials'
import { type AgentIdentity, identityServer, readStanding } from 'aims/provisioning'
import { type RemoteSettings, requireReadable } from './configuration.ts'
import { NO_FILE, openIdentityFile } from './identity-file.ts'
import { keepOwnIdentity } from './own-identity.ts'

/** A server on another host, as the agent sees it once it was attested. */
export interface RemoteServer {
  /** Sends requests as this agent. */
  readonly api: ApiClient
  /** Who this agent is. @throws {@link AimsError} `operation.server_unreachable` before it was attested */
  identity(): AgentIdentity
  /** Resolves when this machine was attested; rejects when it was refused before. */
  readonly attested: Promise<void>
}

/** What it works with. */
export interface RemoteServerOptions {
  readonly clock: Clock
  /** From 0 to 1. */
  readonly random: () => number
  log(line: string): void
  /** Told when this machine was attested anew: what the server told it before is not all any more. */
  attestedAnew(): void
  /** Told when the server said that this machine is no agent any more. */
  refused(): void
}

/**
 * Makes the connection to a server on another host: its identity is exactly `spiffe://TRUST-DOMAIN/aims/server`, by the
 * newest bundle known here, and this agent's own SVID is shown. Both are kept on disk when a directory is given.
 *
 * @throws {@link AimsError} `operation.config_invalid`, `operation.data_directory_*`, `operation.agent_identity_damaged`,
 *   `provisioning.invalid_endpoint`, `bundle.*`
 */
export function remoteServer(settings: RemoteSettings, options: RemoteServerOptions): RemoteServer {
  const { trustDomain, dataDirectory } = settings
  requireReadable(settings.bundle)
  const file = dataDirectory === undefined ? NO_FILE : openIdentityFile(dataDirectory)
  const kept = file.read()
  const server = identityServer({ ...settings, clock: options.clock, keepAlive: true })
  // It was learned from the server itself, under the one before it. The newer of both is what counts.
  if (kept.bundle !== undefined) server.learn(kept.bundle)
  const isOurs = kept.identity?.svid.spiffeId.startsWith(`spiffe://${trustDomain}/`) === true
  const own = keepOwnIdentity({ ...settings, ...options, server, file, held: isOurs ? kept.identity : undefined })
  let bundleText = kept.bundle ?? ''
  const learn = (answer: JsonValue | undefined): void => {
    const { bundle: text, standing } = isJsonObject(answer) ? answer : {}
    if (standing !== undefined) own.requireSigner(readStanding(standing))
    if (typeof text !== 'string' || text === bundleText) return
    // One that is older than what is known is not kept.
    if (server.learn(text).sequence !== parseBundle(text, trustDomain).bundle.sequence) return
    file.keepBundle(text)
    bundleText = text
  }
  const identity = (): AgentIdentity => {
    const current = own.current()
    if (current === undefined) throw new AimsError('operation.server_unreachable', 'this agent is not attested yet')
    return current
  }

  return {
    identity,
    attested: own.first,
    api: {
      async send(request) {
        const before = identity()
        try {
          const answer = await server.send(request)
          learn(answer)
          return answer
        } catch (error) {
          if (!AimsError.is(error)) throw error
          if (error.code === 'provisioning.agent_banned') options.refused()
          if (error.code === 'operation.unauthenticated') own.doubt()
          if (error.code !== 'provisioning.agent_unknown') throw error
          // A renewal may have overtaken this request: the SVID it was sent with had been replaced.
          if (own.current() !== before && own.current() !== undefined) return await server.send(request)
          own.lose(before)
          throw error
        }
      },
      close() {
        own.close()
        server.close()
      },
    },
  }
}
