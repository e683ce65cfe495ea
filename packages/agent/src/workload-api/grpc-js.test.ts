import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { noObserver } from 'aims/base'
import { type Procedure, WORKLOAD_API } from 'aims/provisioning'
import { IssuingBackend } from '../../../../test/support/issuing-backend.ts'
import { WorkloadApiServer } from './server.ts'

const ME = 'spiffe://example.com/agent/calendar-bot'

let dir: string
let backend: IssuingBackend
let server: WorkloadApiServer
let client: Client

const metadata = new Metadata()
metadata.set('workload.spiffe.io', 'true')

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aims-grpc-'))
  backend = await IssuingBackend.create()
  backend.set([{ spiffeId: ME }])
  server = await WorkloadApiServer.start({ socketPath: join(dir, 's'), backend, observer: noObserver })
  client = new Client(server.address, credentials.createInsecure())
})

after(async () => {
  client.close()
  await server.close()
  rmSync(dir, { recursive: true })
})

function unary<Q, A>({ path, request, response }: Procedure<Q, A>, message: Q, meta: Metadata = metadata): Promise<A> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      request.encode,
      (bytes) => response.decode(bytes),
      message,
      meta,
      (error, answer) => {
        if (error !== null) reject(error)
        else if (answer !== undefined) resolve(answer)
      },
    )
  })
}

test('grpc-js makes a unary call', async () => {
  const { svids } = await unary(WORKLOAD_API.fetchJwtSvid, { audience: ['a'], spiffeId: '' })
  assert.deepEqual(
    svids.map(({ spiffeId }) => spiffeId),
    [ME],
  )
})

test('grpc-js sees the status of a refusal, with and without the security header', async () => {
  const withStatus = (code: status) => (error: ServiceError) => error.code === code
  const { fetchJwtSvid } = WORKLOAD_API
  await assert.rejects(unary(fetchJwtSvid, { audience: [], spiffeId: '' }), withStatus(status.INVALID_ARGUMENT))
  await assert.rejects(
    unary(fetchJwtSvid, { audience: ['a'], spiffeId: 'spiffe://example.com/other' }),
    withStatus(status.PERMISSION_DENIED),
  )
  await assert.rejects(
    unary(fetchJwtSvid, { audience: ['a'], spiffeId: '' }, new Metadata()),
    withStatus(status.INVALID_ARGUMENT),
  )
  await assert.rejects(
    unary({ ...fetchJwtSvid, path: '/SpiffeWorkloadAPI/Other' }, { audience: ['a'], spiffeId: '' }),
    withStatus(status.UNIMPLEMENTED),
  )
})

test('grpc-js follows a stream through rotation to its end', async () => {
  const { path, request, response } = WORKLOAD_API.fetchX509Svid
  const decode = (bytes: Buffer): ReturnType<typeof response.decode> => response.decode(bytes)
  const call = client.makeServerStreamRequest(path, request.encode, decode, {}, metadata)
  const chains: string[] = []
  const end = new Promise<ServiceError>((resolve) => call.on('error', resolve))
  for await (const { svids } of call.iterator({ destroyOnReturn: false })) {
    chains.push(Buffer.from(svids[0].x509Svid).toString('hex'))
    if (chains.length === 1) backend.rotate()
    else break
  }
  assert.notEqual(chains[0], chains[1])
  call.resume()
  backend.set([])
  assert.equal((await end).code, status.PERMISSION_DENIED)
})
