import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Http2Sessions } from './http2-sessions.ts'

// Frames written by hand, as no client of Node would send them. RFC 9113, sections 4.1, 6 and 10.5.
const DATA = 0
const HEADERS = 1
const PRIORITY = 2
const RST_STREAM = 3
const SETTINGS = 4
const PING = 6
const CONTINUATION = 9
const END_HEADERS = 4
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

// POST and http from the static table of HPACK, and fields that are in no table.
const field = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)])
const CALL = Buffer.concat([Buffer.from([0x83, 0x86]), field(':path', '/a.B/C'), field(':authority', 'x')])
const many = (count: number, one: (at: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, at) => one(at)))
const callOn = (at: number): Buffer => frame(HEADERS, END_HEADERS, 2 * at + 1, CALL)

const sessions = new Http2Sessions(100)
let calls = 0
const server = createServer((socket) =>
  sessions.serve(socket, () => {
    calls += 1
  }),
)
before(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
after(async () => {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  await sessions.close(closed)
})

interface Client {
  readonly socket: Socket
  readonly isClosed: Promise<unknown>
  /** Types of the frames that came back. */
  types(): readonly (number | undefined)[]
}

async function open(): Promise<Client> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  let received = Buffer.alloc(0)
  socket.on('error', () => socket.destroy()).on('data', (chunk) => (received = Buffer.concat([received, chunk])))
  const isClosed = new Promise((resolve) => socket.once('close', resolve))
  await once(socket, 'connect')
  return {
    socket,
    isClosed,
    types() {
      const found: (number | undefined)[] = []
      for (let at = 0; at + 9 <= received.length; at += 9 + received.readUIntBE(at, 3)) found.push(received[at + 3])
      return found
    },
  }
}

// [authentication.http.03]
// One row per budget: what is sent behind the preface, which costs its sender next to nothing.
const FLOODS: readonly (readonly [name: string, frames: () => Buffer])[] = [
  ['asks for a protocol of before', () => Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
  ['sends settings without end', () => many(20_000, () => frame(SETTINGS, 0, 0))],
  ['sends more settings in one frame than there are', () => frame(SETTINGS, 0, 0, Buffer.alloc(6 * 2000, 3))],
  ['pings without end', () => many(20_000, () => frame(PING, 0, 0, Buffer.alloc(8)))],
  [
    'makes calls and takes each back',
    () =>
      many(20_000, (at) => Buffer.concat([callOn(at), frame(RST_STREAM, 0, 2 * at + 1, Buffer.from([0, 0, 0, 8]))])),
  ],
  ['has more calls open than are allowed', () => many(1000, callOn)],
  [
    'sends a head without end',
    () =>
      Buffer.concat([
        frame(HEADERS, 0, 1, CALL),
        many(20_000, (at) => frame(CONTINUATION, 0, 1, field(`x${at}`, 'y'))),
      ]),
  ],
  [
    'sends empty parts of a head without end',
    () => Buffer.concat([frame(HEADERS, 0, 1, CALL), many(20_000, () => frame(CONTINUATION, 0, 1))]),
  ],
  ['sends empty parts of a body without end', () => Buffer.concat([callOn(0), many(50_000, () => frame(DATA, 0, 1))])],
  [
    'makes a stream wait for itself, without end',
    () => many(50_000, () => frame(PRIORITY, 0, 1, Buffer.from([0, 0, 0, 1, 1]))),
  ],
]
for (const [name, frames] of FLOODS) {
  test(`a connection that ${name} is ended, and others are served`, { timeout: 120_000 }, async () => {
    const { socket, isClosed } = await open()
    socket.write(PREFACE)
    socket.write(frame(SETTINGS, 0, 0))
    socket.write(frames())
    await isClosed
    const other = await open()
    const before = calls
    other.socket.write(Buffer.concat([Buffer.from(PREFACE), frame(SETTINGS, 0, 0), callOn(0)]))
    while (calls === before) await delay(10)
    other.socket.destroy()
  })
}

test('a few of each are no flood', { timeout: 120_000 }, async () => {
  const { socket, types } = await open()
  const few = [
    frame(PING, 0, 0, Buffer.alloc(8)),
    frame(SETTINGS, 0, 0),
    frame(PRIORITY, 0, 1, Buffer.from([0, 0, 0, 3, 1])),
  ]
  socket.write(Buffer.concat([Buffer.from(PREFACE), frame(SETTINGS, 0, 0), ...few, callOn(0), callOn(1)]))
  while (!types().includes(PING)) await delay(10)
  assert.equal(socket.destroyed, false)
  socket.destroy()
})
