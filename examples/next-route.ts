// A route handler of Next.js, app/notes/[id]/route.ts. The same function is what Bun.serve, Deno.serve and Workers take.
import assert from 'node:assert/strict'
import { provingFetch } from 'aims/fetch'
import { protect } from 'aims/web'
import { agent, audience, demoDomain } from './support/demo-domain.ts'

const { wits, authenticator } = await demoDomain()

interface RouteContext {
  readonly params: Promise<{ readonly id: string }>
}
const POST = protect(authenticator, async (request, { principal }, { params }: RouteContext) =>
  Response.json({ caller: principal.id, note: (await params).id, text: await request.text() }),
)

// What Next.js does with it: a Request in, a Response out.
const context: RouteContext = { params: Promise.resolve({ id: '7' }) }
const route: typeof fetch = (url, init) => POST(new Request(url, init), context)
const url = 'https://api.example.com/notes/7'
const post = { method: 'POST', body: 'hello' }
const bot = await provingFetch(wits, { audience, fetch: route })(url, post)
assert.deepEqual(await bot.json(), { caller: agent, note: '7', text: 'hello' })
assert.equal((await route(url, post)).status, 401)
console.log(`${agent} is known to the route handler; nobody: 401`)
