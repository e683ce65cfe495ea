// Messages through a real NATS server, over its protocol as it is on the wire.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { createMemoryReplayStore, createMessageVerifier } from 'aims/authentication'
import type { AuditEvent } from 'aims/base'
import { fromNats, type NatsHeaders, type NatsMessage, provenNatsHeaders } from 'aims/messages'
import { eventuallyTrue } from '../support/eventually.ts'
import { testDomain } from '../support/identities.ts'

const program = ['nats-server', '/usr/sbin/nats-server'].find((name) => spawnSync(name, ['--version']).status === 0)
const skip = program === undefined && 'nats-server is not installed'
const TOPIC = 'nats://broker.example.com/orders'
const now = Math.floor(Date.now() / 1000)
const domain = testDomain('example.com', { now })
const wit = await domain.wit()
const closers: (() => unknown)[] = []
let port = 0

before(async () => {
  if (program === undefined) return
  // Its own choice of a port is in what it prints.
  const server = spawn(program, ['--addr', '127.0.0.1', '--port', '-1'], { stdio: ['ignore', 'ignore', 'pipe'] })
  closers.push(() => server.kill('SIGKILL'))
  let printed = ''
  server.stderr.on('data', (data) => {
    printed += data
  })
  await eventuallyTrue(async () => {
    port = Number(/Listening for client connections on [\d.]+:(\d+)/.exec(printed)?.[1] ?? 0)
    return port > 0
  })
})
after(() => closers.forEach((close) => void close()))

class Headers implements NatsHeaders {
  readonly #lines: (readonly [string, string])[] = []
  keys = (): string[] => [...new Set(this.#lines.map(([name]) => name))]
  values = (name: string): string[] => this.#lines.flatMap(([one, value]) => (one === name ? [value] : []))
  append = (name: string, value: string): void => void this.#lines.push([name, value])
  set = this.append
  text = (): string => `NATS/1.0\r\n${this.#lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
}

async function client(): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  closers.push(() => socket.destroy())
  await once(socket, 'data')
  socket.write('CONNECT {"verbose":false,"headers":true,"no_responders":false}\r\n')
  return socket
}

function publish(socket: Socket, subject: string, reply: string, headers: Headers, data: string): void {
  const head = headers.text()
  const size = Buffer.byteLength(head)
  socket.write(`HPUB ${subject} ${reply} ${size} ${size + Buffer.byteLength(data)}\r\n${head}${data}\r\n`)
}

// The messages of a subscription as a client would give them.
async function subscribe(subject: string): Promise<NatsMessage[]> {
  const socket = await client()
  const messages: NatsMessage[] = []
  let rest = Buffer.alloc(0)
  socket.on('data', (data) => {
    rest = Buffer.concat([rest, data])
    for (;;) {
      const found = /^(?:PONG\r\n)?HMSG \S+ \S+ (?:(\S+) )?(\d+) (\d+)\r\n/.exec(rest.toString('latin1'))
      if (found === null) return
      const [line, reply, head, total] = found
      const end = line.length + Number(total)
      if (rest.length < end + 2) return
      const headers = new Headers()
      const lines = rest
        .subarray(line.length, line.length + Number(head))
        .toString()
        .split('\r\n')
      for (const one of lines.slice(1)) {
        const at = one.indexOf(':')
        if (at > 0) headers.append(one.slice(0, at), one.slice(at + 1).trim())
      }
      messages.push({ data: rest.subarray(line.length + Number(head), end), headers, reply })
      rest = rest.subarray(end + 2)
    }
  })
  socket.write(`SUB ${subject} 1\r\nPING\r\n`)
  await once(socket, 'data')
  return messages
}

test('NATS: the consumer knows who sent a message, and refuses what is changed, copied or sent again', {
  skip,
}, async () => {
  const events: AuditEvent[] = []
  const verifier = createMessageVerifier({
    bundles: domain.bundles,
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: { record: async (event) => void events.push(event) },
    maxLifetime: 600,
  })
  const [orders, refunds] = [await subscribe('orders'), await subscribe('refunds')]
  const producer = await client()
  const headers = new Headers()
  headers.append('Tag', 'a')
  headers.append('Tag', 'b')
  const data = '{"order":1}'
  provenNatsHeaders({ wit: () => wit }, headers, { data, reply: 'answers' }, { topic: TOPIC, clock: () => now })
  const changed = new Headers()
  for (const name of headers.keys()) for (const value of headers.values(name)) changed.append(name, value)
  changed.append('Admin', 'true')

  publish(producer, 'orders', 'answers', headers, '{"order":2}')
  publish(producer, 'orders', 'attacker', headers, data)
  publish(producer, 'orders', 'answers', changed, data)
  publish(producer, 'refunds', 'answers', headers, data)
  publish(producer, 'orders', 'answers', headers, data)
  publish(producer, 'orders', 'answers', headers, data)
  await eventuallyTrue(async () => orders.length === 5 && refunds.length === 1)

  const judge = async (message: NatsMessage | undefined, topic: string): Promise<string> => {
    assert.ok(message)
    const verified = await verifier.verify(fromNats(message), { topic }).catch((error) => error)
    return verified instanceof Error ? String(Reflect.get(verified, 'code')) : verified.principal.id
  }
  assert.equal(await judge(refunds[0], `${TOPIC}/refunds`), 'proof.audience_mismatch')
  const answers: string[] = []
  for (const message of orders) answers.push(await judge(message, TOPIC))
  assert.deepEqual(answers, [
    'proof.body_mismatch',
    'proof.envelope_mismatch',
    'proof.envelope_mismatch',
    wit.subject,
    'proof.replayed',
  ])
  assert.equal(events.length, 5)
})
