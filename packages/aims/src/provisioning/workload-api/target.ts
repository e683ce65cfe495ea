import { once } from 'node:events'
import { connect as connectSocket, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connectFailure, isForbidden } from '../../base/connect-failure.ts'
import { AimsError } from '../../base/errors.ts'
import type { GrpcTarget } from '../grpc/grpc-connection.ts'
import type { Endpoint } from './endpoint.ts'
import { GRPC_STATUS, SECURITY_HEADER } from './service.ts'

/** A Workload API: without TLS, since the kernel says who calls. */
export function workloadApiTarget(endpoint: Endpoint): GrpcTarget {
  return {
    origin: 'http://localhost',
    metadata: { [SECURITY_HEADER]: 'true' },
    codes: {
      [GRPC_STATUS.invalidArgument]: 'provisioning.endpoint_refused',
      [GRPC_STATUS.deadlineExceeded]: 'provisioning.timeout',
      [GRPC_STATUS.permissionDenied]: 'provisioning.no_identity',
      [GRPC_STATUS.unimplemented]: 'provisioning.unimplemented',
    },
    open: () => openSocket(endpoint),
  }
}

const MAX_ATTEMPTS = 20
/** Milliseconds. */
const CONNECT_TIMEOUT = 10_000

async function openSocket(endpoint: Endpoint): Promise<Socket> {
  for (let attempt = 1; ; attempt += 1) {
    const socket = endpoint.kind === 'unix' ? connectSocket(endpoint.path) : connectSocket(endpoint.port, endpoint.host)
    socket.setTimeout(CONNECT_TIMEOUT, () => socket.destroy(new Error('no answer')))
    try {
      await once(socket, 'connect')
      socket.setTimeout(0)
      return socket
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown'
      // The queue of the listener is full for a moment: the kernel does not wait on Unix sockets.
      if (code !== 'EAGAIN' || attempt === MAX_ATTEMPTS) {
        throw new AimsError('provisioning.endpoint_unavailable', `cannot connect: ${reasonOf(cause, code)}`, { cause })
      }
      await delay(5 * attempt)
    }
  }
}

function reasonOf(cause: unknown, code: string): string {
  return `${connectFailure(cause) ?? code}${isForbidden(cause) ? ': agent.socketMode of the agent says who may' : ''}`
}
