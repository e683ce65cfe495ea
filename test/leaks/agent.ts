// The process of an agent: it asks through the broker, or (baseline) with a key from its environment. What its model sees
// goes to standard output, a line of JSON each.
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { request as requestHttps } from 'node:https'
import { pipeline } from 'node:stream/promises'
import { getHeapSnapshot } from 'node:v8'
import { runAgent } from './agent-loop.ts'
import { httpTools, keptOpen, type Sender } from './http-tools.ts'

interface Order {
  readonly steps: number
  readonly seed: number
  readonly names: readonly string[]
  readonly elsewhere: readonly string[]
  readonly broker?: { readonly socketPath: string; readonly port: number }
  /** Of the baseline: where the service is, and how it is known. The key is in the environment. */
  readonly service?: { readonly port: number; readonly authority: string; readonly host: string }
  /** File for a picture of the memory of this process. */
  readonly heap?: string
}

const order: Order = JSON.parse(process.argv[2] ?? '{}')

const throughBroker = ({ socketPath, port }: NonNullable<Order['broker']>): Sender => {
  const agents = [keptOpen(), keptOpen()]
  let count = 0
  return (target, { method, headers, body }) => {
    count += 1
    // One in fifty over the port.
    const where = count % 50 === 0 ? { host: '127.0.0.1', port, agent: agents[0] } : { socketPath, agent: agents[1] }
    const host = /^https?:\/\/([^/]+)/.exec(target)?.[1] ?? `localhost:${port}`
    return new Promise((resolve, reject) => {
      const sent = request({ ...where, path: target, method, headers: { host, ...headers } }, resolve)
      sent.on('error', reject)
      sent.end(body)
    })
  }
}

const withOwnKey = ({ port, authority, host }: NonNullable<Order['service']>): Sender => {
  const key = process.env.WEATHER_API_KEY ?? ''
  return (target, { method, headers, body }) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const path = target.replace(/^\/[a-z]+/, '')
      const where = {
        host: '127.0.0.1',
        port,
        servername: host,
        ca: authority,
        path: path.startsWith('/') ? path : '/',
      }
      const sent = requestHttps({ ...where, method, headers: { ...headers, host, 'x-api-key': key } }, resolve)
      sent.on('error', reject)
      sent.end(body)
    })
}

const send = order.broker !== undefined ? throughBroker(order.broker) : order.service && withOwnKey(order.service)
if (send === undefined) throw new TypeError('neither a broker nor a service')

async function record(channel: string, text: string): Promise<void> {
  if (!process.stdout.write(`${JSON.stringify([channel, text])}\n`)) await once(process.stdout, 'drain')
}

const { steps, seed, names, elsewhere, broker, heap } = order
await runAgent(steps, { seed, record, tools: httpTools({ send, names, elsewhere, port: broker?.port }) })
if (heap !== undefined) await pipeline(getHeapSnapshot(), createWriteStream(heap))
await new Promise<void>((resolve) => process.stdout.write('', () => resolve()))
process.exit(0)
