import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { lookBudget } from './look-budget.ts'
import { loopbackPeer, socketBetween } from './loopback-peer.ts'

const row = (ends: string, uid = 1000, inode = 4711): string =>
  `   3: ${ends} 01 00000000:00000000 00:00000000 00000000  ${uid}        0 ${inode} 1 0000000000000000 20 4 30 10 -1\n`

test('the table of connections is read by both ends', () => {
  const table = `  sl  local_address rem_address\n${row('0100007F:1F90 0100007F:C350')}${row('0100007F:C350 0100007F:1F90', 1001, 4712)}`
  assert.deepEqual(socketBetween(table, 50_000, 8080), { uid: 1001, inode: '4712' })
})

// One row per connection that is another one.
for (const [what, ends, inode] of [
  ['another port here', '0100007F:C350 0100007F:1F91', 1],
  ['another port there', '0100007F:C351 0100007F:1F90', 1],
  ['another address', '0200007F:C350 0100007F:1F90', 1],
  ['the other direction', '0100007F:1F90 0100007F:C350', 1],
  ['nobody who holds it', '0100007F:C350 0100007F:1F90', 0],
] as const) {
  test(`a connection with ${what} is not the one`, () => {
    assert.equal(socketBetween(row(ends, 1000, inode), 50_000, 8080), undefined)
  })
}

async function accepted(client: () => void): Promise<readonly [Socket, () => void]> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const connection = once(server, 'connection') as Promise<[Socket]>
  port = (server.address() as AddressInfo).port
  client()
  const [socket] = await connection
  return [socket, () => server.close()]
}
let port = 0

test('a connection of this process is of this process [provisioning.egress.08]', async () => {
  let client: Socket | undefined
  const [socket, close] = await accepted(() => {
    client = connect(port, '127.0.0.1')
  })
  const { credentials, requireStill } = loopbackPeer(socket)
  assert.equal(credentials.pid, process.pid)
  assert.equal(credentials.uid, process.geteuid?.())
  requireStill()
  client?.destroy()
  await once(client ?? socket, 'close')
  assert.throws(() => requireStill(), { code: 'attestation.peer_unreadable' })
  assert.throws(() => loopbackPeer(socket), { code: 'attestation.peer_unreadable' })
  socket.destroy()
  close()
})

// Each look would hold up everybody else.
test('of a user who holds very much nobody is told [provisioning.egress.08]', async () => {
  let client: Socket | undefined
  const [socket, close] = await accepted(() => {
    client = connect(port, '127.0.0.1')
  })
  const { requireStill } = loopbackPeer(socket)
  requireStill()
  const refused = { code: 'attestation.peer_unreadable', message: /more than 3 descriptors/ }
  assert.throws(() => loopbackPeer(socket, lookBudget({ maxLooked: 3 })), refused)
  let now = 0
  const clock = (): number => {
    now += 60_000
    return now
  }
  const slow = lookBudget({ clock })
  const { requireStill: again } = loopbackPeer(socket, slow)
  assert.throws(again, { code: 'egress.too_busy' })
  client?.destroy()
  socket.destroy()
  close()
})

test('a connection that two processes hold is of nobody', async () => {
  // The shell gives its connection to a child.
  let shell: ReturnType<typeof spawn> | undefined
  const [socket, close] = await accepted(() => {
    shell = spawn(
      'bash',
      ['-c', `exec 3<>/dev/tcp/127.0.0.1/${port}; cat >/dev/null <&0 & echo ready >&3; read line`],
      {
        stdio: ['pipe', 'ignore', 'ignore'],
      },
    )
  })
  await once(socket, 'data')
  assert.throws(() => loopbackPeer(socket), { code: 'attestation.peer_unreadable' })
  shell?.kill('SIGKILL')
  socket.destroy()
  close()
})
