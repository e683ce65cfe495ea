import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { execute, TPM_COMMAND } from './command.ts'
import { tpmCollector } from './tpm-collector.ts'
import { openTpm, type TpmTransport } from './transport.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-tpm-'))
const servers: Server[] = []
after(() => {
  for (const server of servers) server.close()
  rmSync(root, { recursive: true })
})

/** Frame of a response. */
function response(code: number, body = Buffer.alloc(0), size = 10 + body.length, tag = 0x8001): Buffer {
  const head = Buffer.alloc(10)
  head.writeUInt16BE(tag)
  head.writeUInt32BE(size, 2)
  head.writeUInt32BE(code, 6)
  return Buffer.concat([head, body])
}

/** Something at the other end of a socket that answers each command by `answer`. */
async function simulator(answer: (command: Buffer, socket: Socket) => void, path?: string): Promise<string> {
  const server = createServer((socket) =>
    socket.on('data', (command) => answer(command, socket)).on('error', () => undefined),
  )
  servers.push(server)
  await new Promise<void>((resolve) => {
    if (path === undefined) server.listen(0, '127.0.0.1', resolve)
    else server.listen(path, resolve)
  })
  return path === undefined ? `tcp://127.0.0.1:${(server.address() as AddressInfo).port}` : `unix://${path}`
}

async function open(address: string): Promise<TpmTransport> {
  const transport = await openTpm(address)
  assert.ok(transport)
  return transport
}

const flush = { code: TPM_COMMAND.flushContext, parameters: [Buffer.alloc(4)] }
const failed = { code: 'attestation.collection_failed' }

describe('a connection to a TPM', () => {
  test('carries commands one at a time, and puts answers together that come in pieces', async () => {
    const seen: number[] = []
    let busy = 0
    const address = await simulator(
      (command, socket) => {
        busy += 1
        assert.equal(busy, 1)
        const mark = command.readUInt32BE(10)
        seen.push(mark)
        const bytes = response(0, Buffer.from(command.subarray(10)))
        socket.write(bytes.subarray(0, 5))
        setTimeout(() => {
          busy -= 1
          socket.write(bytes.subarray(5))
        }, 5)
      },
      join(root, 'pieces'),
    )
    const transport = await open(address)
    const marks = [1, 2, 3].map((n) => Buffer.of(0, 0, 0, n))
    const answers = await Promise.all(marks.map((mark) => execute(transport, { ...flush, parameters: [mark] })))
    assert.deepEqual(
      answers.map(({ parameters }) => parameters.u32()),
      [1, 2, 3],
    )
    assert.deepEqual(seen, [1, 2, 3])
    await transport.close()
  })

  test('asks again when the TPM says so, and tells by which code it refuses', async () => {
    let asked = 0
    const address = await simulator((_, socket) => {
      asked += 1
      socket.write(response(asked < 3 ? 0x922 : 0x98e))
    })
    const transport = await open(address)
    await assert.rejects(execute(transport, flush), (error: Error & { code: string }) => {
      assert.equal(error.code, failed.code)
      assert.equal((error.cause as { responseCode: number }).responseCode, 0x98e)
      return true
    })
    assert.equal(asked, 3)
    await transport.close()
  })

  test('reads handles and parameters apart from authorizations', async () => {
    const body = Buffer.from('80000001' + '00000003' + 'aabbcc' + '0000010000', 'hex')
    const address = await simulator((_, socket) => socket.write(response(0, body, 10 + body.length, 0x8002)))
    const transport = await open(address)
    const { handle, parameters } = await execute(transport, { ...flush, returnsHandles: 1 })
    assert.deepEqual([handle, parameters.take(3).toString('hex'), parameters.left], [0x8000_0001, 'aabbcc', 0])
    await transport.close()
  })

  const rows: readonly (readonly [string, (command: Buffer, socket: Socket) => void])[] = [
    ['is cut off', (_, socket) => socket.end(response(0).subarray(0, 7))],
    ['is reset', (_, socket) => socket.resetAndDestroy()],
    ['is longer than it says', (_, socket) => socket.write(response(0, Buffer.alloc(4), 12))],
    ['is larger than any answer', (_, socket) => socket.write(response(0, Buffer.alloc(5000)))],
    ['lacks the handle that was asked for', (_, socket) => socket.write(response(0))],
  ]
  for (const [what, answer] of rows) {
    test(`whose answer ${what} fails`, async () => {
      const transport = await open(await simulator(answer))
      await assert.rejects(execute(transport, { ...flush, returnsHandles: 1 }), (error: { code: string }) =>
        error.code.startsWith('attestation.'),
      )
      await transport.close()
    })
  }

  test('that is closed fails, and does not wait', async () => {
    const transport = await open(await simulator((_, socket) => socket.write(response(0))))
    await transport.close()
    await assert.rejects(execute(transport, flush), failed)
  })

  test('to nothing is none', async () => {
    const [server] = [createServer()]
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    server.close()
    for (const address of [join(root, 'no-device'), `unix://${join(root, 'no-socket')}`, `tcp://127.0.0.1:${port}`]) {
      assert.equal(await openTpm(address), undefined, address)
    }
  })

  test('to a device that may not be opened fails; to something that is no address is a mistake', async () => {
    await assert.rejects(openTpm(root), failed)
    for (const address of ['tpmrm0', 'http://localhost', 'tcp://localhost', 'unix://relative']) {
      await assert.rejects(openTpm(address), TypeError)
    }
    assert.throws(() => tpmCollector({ selection: 'all' }), TypeError)
  })

  test('to a file that is no TPM fails', async () => {
    const file = join(root, 'file')
    writeFileSync(file, '')
    const transport = await open(file)
    await assert.rejects(execute(transport, flush), (error: { code: string }) => error.code.startsWith('attestation.'))
    await transport.close()
  })
})

describe('a collector', () => {
  test('whose TPM has no certificate of an endorsement key fails, and lets go of it', async () => {
    let closed = 0
    const address = await simulator((_, socket) => {
      socket.once('close', () => {
        closed += 1
      })
      // TPM_RC_HANDLE: nothing at any index.
      socket.write(response(0x18b))
    })
    const collector = tpmCollector({ address })
    await assert.rejects(collector.hello(), failed)
    // It is tried anew the next time.
    await assert.rejects(collector.createKey(), failed)
    await collector.close()
    assert.ok(closed >= 1)
  })

  test('whose TPM answers what cannot be read fails', async () => {
    for (const body of ['', '00', 'ffff', '00080000000100000000', '0004000000000000']) {
      const collector = tpmCollector({
        address: await simulator((_, socket) => socket.write(response(0, Buffer.from(body, 'hex')))),
      })
      await assert.rejects(collector.hello(), failed)
      await collector.close()
    }
  })
})
