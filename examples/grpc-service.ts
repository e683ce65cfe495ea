// gRPC both ways: an interceptor of the server, and credentials of the client's calls. grpc-js sends those over TLS only.
import assert from 'node:assert/strict'
import * as grpc from '@grpc/grpc-js'
import { WorkloadKey } from 'aims/base'
import { createX509Authority, issueCaCertificate, issueX509Svid } from 'aims/credentials'
import { authenticatedCalls, callerOf, provingCalls } from 'aims/grpc'
import { parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
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

async function certificates(): Promise<{ authority: Buffer; tls: { cert_chain: Buffer; private_key: Buffer } }> {
  const trustDomain = parseTrustDomain('example.com')
  const [signer, key] = [WorkloadKey.generate(), WorkloadKey.generate()]
  const now = Math.floor(Date.now() / 1000)
  const times = { notBefore: now - 60, notAfter: now + 600 }
  const certificate = await issueCaCertificate({ trustDomain, signer, ...times })
  const spiffeId = parseSpiffeId('spiffe://example.com/service/notes')
  const request = { spiffeId, publicKey: key.publicKey, dnsNames: ['localhost'], ...times }
  const svid = await issueX509Svid(request, createX509Authority({ trustDomain, signer, certificate }))
  const pem = (der: Uint8Array): Buffer =>
    Buffer.from(`-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`)
  return {
    authority: pem(certificate),
    tls: {
      cert_chain: Buffer.concat(svid.certificates.map(pem)),
      private_key: Buffer.from(key.tlsKey.export({ type: 'pkcs8', format: 'pem' })),
    },
  }
}
