// gRPC both ways: an interceptor of the server, and credentials of the client's calls. grpc-js sends those over TLS only.
import assert from 'node:assert/strict'
import * as grpc from '@grpc/grpc-js'
import { authenticatedCalls, callerOf, provingCalls } from 'aims/grpc'
import { certificates } from './support/certificates.ts'
import { agent, audience, demoDomain } from './support/demo-domain.ts'

const { wits, authenticator } = await demoDomain()
const { authority, tls } = await certificates()

const whoAmI = {
  path: '/demo.Notes/WhoAmI',
  requestStream: false,
  responseStream: false,
  requestSerialize: Buffer.from,
  requestDeserialize: String,
  responseSerialize: Buffer.from,
  responseDeserialize: String,
}
const server = new grpc.Server({ interceptors: [authenticatedCalls(grpc, authenticator)] })
server.addService(
  { whoAmI },
  {
    whoAmI: (call: grpc.ServerUnaryCall<string, string>, done: grpc.sendUnaryData<string>) =>
      done(null, callerOf(call.metadata).principal.id),
  },
)
const port = await new Promise<number>((resolve, reject) =>
  server.bindAsync('localhost:0', grpc.ServerCredentials.createSsl(null, [tls]), (error, bound) =>
    error === null ? resolve(bound) : reject(error),
  ),
)

const channel = grpc.credentials.createSsl(authority)
const proven = grpc.credentials.combineChannelCredentials(channel, provingCalls(grpc, wits, { audience }))
assert.equal(await ask(proven), agent)
await assert.rejects(ask(channel), { code: grpc.status.UNAUTHENTICATED })
server.forceShutdown()
console.log(`${agent} is known to the handler; nobody: UNAUTHENTICATED`)

function ask(credentials: grpc.ChannelCredentials): Promise<string> {
  const client = new grpc.Client(`localhost:${port}`, credentials)
  const answer = Promise.withResolvers<string>()
  client.makeUnaryRequest(whoAmI.path, whoAmI.requestSerialize, String, 'hello', (error, name = '') =>
    error === null ? answer.resolve(name) : answer.reject(error),
  )
  return answer.promise.finally(() => client.close())
}
