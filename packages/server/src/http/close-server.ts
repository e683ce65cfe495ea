import type { Server } from 'node:http'

/** Milliseconds. */
const DRAIN = 10_000

/** Stops taking connections, lets requests under way end within 10 s, and then closes what is left. */
export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), DRAIN)
    server.close(() => {
      clearTimeout(timer)
      resolve()
    })
    server.closeIdleConnections()
  })
}
