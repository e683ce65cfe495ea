// A service and an agent in one, as they would be on Bun, Deno and Workers: `test/interop/edge.test.ts` sends them requests.
import { createAuthenticator, createMemoryReplayStore } from 'aims/authentication'
import { importPrivateKey, WorkloadKey } from 'aims/base'
import { bundleSource, holdWit, parseBundle } from 'aims/credentials'
import { provingFetch } from 'aims/fetch'
import { isExactly, parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { protect } from 'aims/web'
import { config } from './config.mjs'

let started

/** Made with the first request: a Worker draws no random bytes before. */
export function serve(request) {
  started ??= start()
  return started(request)
}

function start() {
  const reasons = new Map()
  const bundles = bundleSource(
    ...config.bundles.map(({ trustDomain, document }) => parseBundle(document, parseTrustDomain(trustDomain)).bundle),
  )
  const me = holdWit({ ...config.wit, token: config.token, key: new WorkloadKey(importPrivateKey(config.key)) })
  const wits = { wit: () => me }
  const authenticator = createAuthenticator({
    bundles,
    audiences: [config.audience],
    replays: createMemoryReplayStore({ capacity: 1000 }),
    observer: { record: async (event) => void reasons.set(event.correlationId, event.reasons ?? []) },
    responses: { wits },
  })
  const answer = protect(
    authenticator,
    async (request, { principal }) =>
      new URL(request.url).pathname === '/events'
        ? new Response(events(), { headers: { 'content-type': 'text/event-stream' } })
        : Response.json({
            caller: principal.id,
            method: principal.method,
            covers: principal.covers,
            body: await request.text(),
          }),
    { maxBody: config.maxBody },
  )
  // The other way round: the runtime is the agent, and asks a service elsewhere.
  const ask = async ({ url, sign }) => {
    const peer = isExactly(parseSpiffeId(config.peer))
    const options = { audience: config.audience, ...(sign ? { httpSignature: { bundles, peer } } : {}) }
    try {
      const response = await provingFetch(wits, options)(url, { method: 'POST', body: 'from the edge' })
      return Response.json({ status: response.status, text: await response.text() })
    } catch (error) {
      return Response.json({ code: error.code ?? `${error.name}: ${error.message}` })
    }
  }
  return async (request) => {
    const { pathname } = new URL(request.url)
    // For the test only: a service keeps its reasons to itself.
    if (pathname === '/reasons') return Response.json(reasons.get(await request.text()) ?? [])
    if (pathname === '/ask') return ask(await request.json())
    return answer(request)
  }
}

// Goes on for as long as anybody reads.
function events() {
  return new ReadableStream({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, 100))
      controller.enqueue(new TextEncoder().encode('data: more\n\n'))
    },
  })
}
