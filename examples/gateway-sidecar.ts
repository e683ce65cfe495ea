// A service without a line of AIMS behind a verifying reverse proxy, as `aims gateway sidecar` starts it, and how an operator
// finds out why somebody was refused.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { AuditEvent } from 'aims/base'
import { findRefusal, provingFetch } from 'aims/fetch'
import { createGate, startSidecar } from 'aims/gateway'
import { diagnose } from 'aims/monitoring'
import { agent, audience, demoDomain } from './support/demo-domain.ts'

// The service: it reads a header field.
const service = createServer((request, response) => response.end(`hello ${request.headers['aims-caller-id']}`))
service.listen(0, '127.0.0.1')
await once(service, 'listening')

const records: AuditEvent[] = []
const observer = { record: async (event: AuditEvent): Promise<void> => void records.push(event) }
const { wits, authenticator } = await demoDomain(observer)
const sidecar = await startSidecar({
  gate: createGate({
    authenticator,
    observer,
    routes: [
      { path: '/health', methods: ['GET'], requires: 'public' },
      { path: '/api/*', requires: { requireBinding: { body: true } } },
    ],
  }),
  listen: { host: '127.0.0.1', port: 0 },
  service: { address: { host: '127.0.0.1', port: (service.address() as AddressInfo).port } },
})

try {
  const url = `${sidecar.address}/api/notes`
  const proving = provingFetch(wits, { audience })
  assert.equal(await (await proving(url)).text(), `hello ${agent}`)

  // Nobody calls by writing the field himself, and only the public route is for everybody.
  const forged = { headers: { 'aims-caller-id': agent } }
  assert.equal((await fetch(url, forged)).status, 401)
  assert.equal(await (await fetch(`${sidecar.address}/health`, forged)).text(), 'hello undefined')
  assert.equal((await proving(`${sidecar.address}/elsewhere`)).status, 403)

  // The caller learns an id; the record with this id says why: what `aims explain ID` shows.
  const refused = await provingFetch(wits, { audience: 'https://other.example.com' })(url)
  const id = refused.headers.get('aims-request-id')
  assert.match((await findRefusal(refused))?.message ?? '', new RegExp(`aims explain ${id}`))
  const record = records.find(({ correlationId }) => correlationId === id)
  const failed = record?.checks?.at(-1)
  assert.deepEqual([failed?.check, failed?.expected], ['proof.audience', audience])
  const [cause] = diagnose(record ?? {})
  assert.equal(cause?.id, 'wrong-audience')
  console.log(`the service knows ${agent}; who was refused: ${cause.because}; change: ${cause.fix}`)
} finally {
  await sidecar.close()
  service.close()
  service.closeAllConnections()
}
