// A guard of NestJS. In an application: app.useGlobalGuards(authenticatedGuard(authenticator)), and in a controller
// callerOf(request) of the @Req() request. Here its part is played by ten lines, so that the example needs no NestJS.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { provingFetch } from 'aims/fetch'
import { authenticatedGuard, callerOf } from 'aims/nest'
import { agent, audience, demoDomain } from './support/demo-domain.ts'

const { wits, authenticator } = await demoDomain()
const guard = authenticatedGuard(authenticator)

const server = createServer(async (request, response) => {
  const context = { switchToHttp: () => ({ getRequest: () => request, getResponse: () => response }) }
  if (await guard.canActivate(context)) response.end(callerOf(request).principal.id)
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/notes`
try {
  assert.equal(await (await provingFetch(wits, { audience })(url)).text(), agent)
  assert.equal((await fetch(url)).status, 401)
  console.log(`${agent} passes the guard; nobody: 401`)
} finally {
  server.close()
}
