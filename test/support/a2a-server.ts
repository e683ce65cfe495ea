// An agent of the official A2A SDK behind Express: its card for everybody, its tasks for who has proved to be their owner.
import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { AgentCard, Task } from '@a2a-js/sdk'
import { AgentEvent, type AgentExecutor, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server'
import { jsonRpcHandler } from '@a2a-js/sdk/server/express'
import express from 'express'
import { agentCardListener } from '../../packages/aims/src/adapters/a2a/serve-card.ts'
import { callerOf, userBuilder } from '../../packages/aims/src/adapters/a2a/user.ts'
import { authenticated } from '../../packages/aims/src/adapters/express.ts'
import type { Authenticator } from '../../packages/aims/src/authentication/authenticate.ts'
import {
  type RotatingServerOptions,
  rotatingServer,
  serverTlsOptions,
} from '../../packages/aims/src/authentication/mtls/server.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import type { X509SvidSource } from '../../packages/aims/src/credentials/x509-svid/source.ts'

export interface A2aServer {
  readonly url: string
  close(): void
}

/** Does what it is asked at once, and says who asked. */
const executor: AgentExecutor = {
  async execute({ taskId, contextId, context }, bus) {
    const { principal } = callerOf(context)
    const message = { messageId: taskId, role: 'ROLE_AGENT', parts: [{ text: `done for ${principal.id}` }] }
    bus.publish(
      AgentEvent.task(Task.fromJSON({ id: taskId, contextId, status: { state: 'TASK_STATE_COMPLETED', message } })),
    )
    bus.finished()
  },
  async cancelTask() {},
}

export async function startA2aServer(given: {
  readonly svids: X509SvidSource
  readonly authenticator: Authenticator
  readonly clients: RotatingServerOptions
  /** Its card, once it is known where it is. */
  card(url: string): () => JsonObject
}): Promise<A2aServer> {
  const app = express()
  const server = createServer(serverTlsOptions(given.svids), app)
  rotatingServer(server, given.svids, given.clients)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const card = given.card(`${url}/a2a`)
  const requestHandler = new DefaultRequestHandler(AgentCard.fromJSON(card()), new InMemoryTaskStore(), executor)
  app.use('/.well-known/agent-card.json', agentCardListener(card))
  app.use('/a2a', authenticated(given.authenticator), jsonRpcHandler({ requestHandler, userBuilder }))
  app.use('/open', jsonRpcHandler({ requestHandler, userBuilder }))
  return {
    url,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
