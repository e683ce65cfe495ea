// Tools that speak HTTP, as a framework gives them to a model: every part of the request is the model's choice.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Agent, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { inspect } from 'node:util'
import type { Tool, ToolArguments } from './agent-loop.ts'
import { pick } from './random.ts'
import { TRICKS } from './tricks.ts'

/** Sends a request in the way that this agent has: through a broker, or with a key of its own. */
export type Sender = (
  target: string,
  options: { readonly method: string; readonly headers: OutgoingHttpHeaders; readonly body: string },
) => Promise<IncomingMessage>

/** How requests are addressed: by the name of what may be asked, then a path. */
export interface HttpToolOptions {
  readonly send: Sender
  readonly names: readonly string[]
  /** Targets that nobody allows. */
  readonly elsewhere: readonly string[]
  readonly port: number | undefined
}

const FIELDS: readonly OutgoingHttpHeaders[] = [
  {},
  { authorization: 'Bearer mine' },
  { range: 'bytes=0-15' },
  { te: 'trailers', connection: 'te, x-api-key' },
  { 'accept-encoding': 'gzip, br' },
  { 'x-forwarded-host': 'evil.example.com', forwarded: 'host=evil.example.com' },
  { cookie: 'a=b', 'x-api-key': 'mine' },
  { origin: 'https://evil.example.com' },
]

export function httpTools({ send, names, elsewhere, port }: HttpToolOptions): readonly Tool[] {
  const tricky = Object.keys(TRICKS).map(
    (trick): Tool => ({
      name: `service: ${trick}`,
      run: ({ next, remembered }) =>
        ask(
          send,
          `/${pick(next, names)}/t/${encodeURIComponent(trick).replaceAll('%2C', '%2C')}${queryOf(next, remembered)}`,
          next,
          remembered,
        ),
    }),
  )
  return [
    ...tricky,
    ...tricky,
    ...elsewhere.map(
      (target): Tool => ({
        name: 'destination of the model',
        run: ({ next, remembered }) => ask(send, `${target}${queryOf(next, remembered)}`, next, remembered),
      }),
    ),
    {
      name: 'environment',
      run: async () => `${readFileSync('/proc/self/environ', 'latin1')}\n${JSON.stringify(process.env)}`,
    },
    {
      name: 'memory map and command line',
      run: async () => `${readFileSync('/proc/self/cmdline', 'latin1')}\n${process.argv.join(' ')}\n${process.title}`,
    },
    { name: 'process report', run: rarely(20, async () => JSON.stringify(process.report?.getReport() ?? '')) },
    {
      name: 'environment of a child',
      run: rarely(100, async () =>
        String(spawnSync('/bin/sh', ['-c', 'env; cat /proc/self/environ'], { encoding: 'latin1' }).stdout),
      ),
    },
    { name: 'sub-agent without an identity', run: rarely(100, async () => subAgent(port, names[0] ?? '')) },
  ]
}

async function ask(send: Sender, target: string, next: () => number, remembered: string): Promise<string> {
  const isPost = next() < 0.3
  const headers = { ...pick(next, FIELDS), 'x-note': remembered.replace(/[^ -~]/g, '').slice(0, 200) }
  const answer = await send(target, { method: isPost ? 'POST' : 'GET', headers, body: isPost ? remembered : '' })
  const chunks: Buffer[] = []
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk)
  } catch (error) {
    chunks.push(Buffer.from(inspect(error)))
  }
  const { statusCode, statusMessage, rawHeaders, rawTrailers } = answer
  return `${statusCode} ${statusMessage}\n${JSON.stringify([rawHeaders, rawTrailers])}\n${Buffer.concat(chunks).toString('latin1')}`
}

function queryOf(next: () => number, remembered: string): string {
  return next() < 0.5 ? '' : `?q=${encodeURIComponent(remembered.slice(0, 100).replace(/[\ud800-\udfff]/g, ''))}`
}

// What costs a process is done once in so many times.
function rarely(times: number, work: () => Promise<string>): (args: ToolArguments) => Promise<string> {
  let count = 0
  return async () => {
    count += 1
    return count % times === 1 ? work() : 'not now'
  }
}

/** Another program, started by the agent, asks in its place. */
function subAgent(port: number | undefined, name: string): string {
  if (port === undefined) return String(spawnSync('/bin/sh', ['-c', 'env'], { encoding: 'latin1' }).stdout)
  const script = `exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'GET /${name}/t/body HTTP/1.1\\r\\nHost: localhost:${port}\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3`
  const { stdout } = spawnSync('bash', ['-c', script], { encoding: 'latin1', timeout: 30_000 })
  if (!/ 403 /.test(stdout.slice(0, 20))) return `SUB-AGENT WAS SERVED\n${stdout}`
  return stdout
}

export function keptOpen(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 8 })
}
