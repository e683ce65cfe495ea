import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export interface Relay {
  readonly port: number
  /** Passes nothing on. */
  hold(): void
  /** Ends all connections. */
  cut(): void
  pass(): void
  close(): void
}

/** Stands between a client and a server on this machine. */
export async function relay(to: number): Promise<Relay> {
  const pairs = new Set<readonly [Socket, Socket]>()
  let isHeld = false
  const server: Server = createServer((socket) => {
    const far = connect(to, '127.0.0.1')
    const pair = [socket, far] as const
    pairs.add(pair)
    for (const [from, onto] of [pair, [far, socket] as const]) {
      from.on('data', (bytes) => {
        if (!isHeld) onto.write(bytes)
      })
      from.on('error', () => undefined)
      from.on('close', () => {
        onto.destroy()
        pairs.delete(pair)
      })
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = (): void => {
    for (const [socket] of pairs) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    hold() {
      isHeld = true
    },
    cut,
    pass() {
      isHeld = false
    },
    close() {
      cut()
      server.close()
    },
  }
}
