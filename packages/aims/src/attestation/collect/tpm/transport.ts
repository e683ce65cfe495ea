import { once } from 'node:events'
import { AimsError } from '../../../base/errors.ts'

/** Carries one command at a time to a TPM, and its response back. */
export interface TpmTransport {
  /** @throws {@link AimsError} `attestation.collection_failed` */
  exchange(command: Uint8Array): Promise<Buffer>
  close(): Promise<void>
  /** False once the other side is gone: it must be opened anew. */
  readonly isOpen: boolean
}

const HEADER = 10
const MAX_RESPONSE = 4096
// Making an RSA key takes a slow chip this long.
const TIMEOUT = 90_000

/**
 * Opens a TPM by its address: a device (`/dev/tpmrm0`), or the socket of a simulator (`tcp://127.0.0.1:2321`,
 * `unix:///run/swtpm.sock`). `undefined` when there is nothing at that address.
 *
 * A device without resource manager (`/dev/tpm0`) works while nobody else uses it.
 *
 * @throws {@link AimsError} `attestation.collection_failed`: it is there, and may not be opened
 */
export async function openTpm(address: string): Promise<TpmTransport | undefined> {
  const tcp = /^tcp:\/\/([^/:]+|\[[0-9a-f:]+\]):(\d+)\/?$/.exec(address)
  const unix = /^unix:\/\/(\/.+)$/.exec(address)
  try {
    if (tcp !== null) return await openSocket({ host: tcp[1]?.replace(/^\[|\]$/g, '') ?? '', port: Number(tcp[2]) })
    if (unix !== null) return await openSocket({ path: unix[1] as string })
    if (!address.startsWith('/')) throw new TypeError('an address is a device, tcp://HOST:PORT or unix:///PATH')
    return await openDevice(address)
  } catch (cause) {
    if (isAbsent(cause)) return undefined
    throw cause instanceof TypeError ? cause : failed('the TPM cannot be opened', cause)
  }
}

function isAbsent(error: unknown): boolean {
  const code = (error as { code?: unknown } | undefined)?.code
  return code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENODEV' || code === 'ENXIO'
}

// One write carries a command whole; the read after it waits for the response.
async function openDevice(path: string): Promise<TpmTransport> {
  const { open } = await import('node:fs/promises')
  const file = await open(path, 'r+')
  return inTurn({
    async exchange(command) {
      await file.write(command)
      const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_RESPONSE), 0, MAX_RESPONSE)
      return buffer.subarray(0, bytesRead)
    },
    close: () => file.close(),
    isOpen: true,
  })
}

async function openSocket(target: { host: string; port: number } | { path: string }): Promise<TpmTransport> {
  const { connect } = await import('node:net')
  const socket = connect(target)
  await once(socket, 'connect')
  socket.unref()
  let received: Buffer = Buffer.alloc(0)
  let waiting: PromiseWithResolvers<Buffer> | undefined
  const fail = (cause?: unknown): void => waiting?.reject(failed('the TPM broke off the connection', cause))
  socket.on('error', fail)
  socket.on('close', () => fail())
  socket.setTimeout(TIMEOUT, () => socket.destroy(new Error('no answer in time')))
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk])
    if (received.length > MAX_RESPONSE) socket.destroy()
    else if (received.length >= HEADER && received.length >= received.readUInt32BE(2)) waiting?.resolve(received)
  })
  return inTurn({
    async exchange(command) {
      received = Buffer.alloc(0)
      waiting = Promise.withResolvers<Buffer>()
      if (socket.destroyed) fail()
      else socket.ref().write(command)
      try {
        return await waiting.promise
      } finally {
        // A connection on which nothing is awaited keeps no process running.
        socket.unref()
      }
    },
    async close() {
      socket.destroy()
    },
    get isOpen() {
      return !socket.destroyed
    },
  })
}

/** A TPM does one thing at a time. */
function inTurn(transport: TpmTransport): TpmTransport {
  let last: Promise<unknown> = Promise.resolve()
  return {
    exchange(command) {
      const next = last.then(() => transport.exchange(command))
      last = next.catch(() => undefined)
      return next.catch((cause: unknown) => {
        throw AimsError.is(cause) ? cause : failed('the TPM cannot be reached', cause)
      })
    },
    close: () => transport.close(),
    get isOpen() {
      return transport.isOpen
    },
  }
}

/** What a collector of evidence fails with. */
export function failed(message: string, cause?: unknown): AimsError {
  return new AimsError('attestation.collection_failed', message, { cause })
}
