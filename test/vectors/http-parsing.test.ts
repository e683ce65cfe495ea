import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { bindSocket } from '../../packages/aims/src/base/unix-socket.ts'
import { readTarget } from '../../packages/server/src/http/request-reader.ts'
import { HTTP_OPTIONS, harden } from '../../packages/server/src/http/server-options.ts'
import { type ParserCase, readParserCases } from './llhttp.ts'
import { type Case, type Outcome, suite } from './suite.ts'

// A listener as the server's, with an application that takes every path: only the parser and the first look can refuse.
const dir = mkdtempSync(join(tmpdir(), 'aims-http-'))
let served = 0
const server: Server = createServer(HTTP_OPTIONS, async (request, response) => {
  try {
    readTarget(request, undefined)
  } catch {
    response.writeHead(400, { connection: 'close' }).end()
    return
  }
  try {
    for await (const _ of request) {
      // Reads the body to its end.
    }
  } catch {
    return
  }
  served += 1
  response.end()
})
harden(server)
const path = join(dir, 's')
const listening = bindSocket(server, { path, mode: 0o600 })
after(() => {
  server.closeAllConnections()
  server.close()
  rmSync(dir, { recursive: true })
})

// [authentication.http.01]
suite('http-parsing', 'suites/http-parsing', async (data) => {
  await listening
  const cases = readParserCases(data)
  return cases.flatMap((one, index): Case[] => {
    if (one.type === null || !one.type.startsWith('request')) return []
    // A lenient parser accepts what only the lenient cases have, so for ours they are errors or harmless.
    const expected = one.strict_error === null ? 'either' : 'reject'
    return [{ id: `${index} ${one.file} ${one.title}`, expected, run: () => judge(one) }]
  })
})

/** Accepted: more than the complete messages was served, or the connection was left open, or a second answer came. */
async function judge({ input_b64, messages }: ParserCase): Promise<Outcome> {
  served = 0
  const answer = await send(Buffer.from(input_b64, 'base64'))
  const statuses = [...answer.text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status))
  const refusals = statuses.filter((status) => status >= 400).length
  const refused = served <= messages && refusals <= 1 && statuses.length <= served + 1 && answer.closed
  return refused ? { accepted: false, code: 'http.malformed' } : { accepted: true }
}

async function send(input: Buffer): Promise<{ readonly text: string; readonly closed: boolean }> {
  const socket = createConnection({ path })
  const chunks: Buffer[] = []
  let closed = false
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.on('error', () => undefined)
  const end = once(socket, 'close').then(() => {
    closed = true
  })
  socket.write(input)
  // Many short waits: on a busy machine one long wait is over before anything else was done.
  for (let waits = 0; waits < 15 && !closed; waits += 1) await Promise.race([end, sleep(10)])
  const open = !closed
  socket.destroy()
  return { text: Buffer.concat(chunks).toString('latin1'), closed: !open }
}
