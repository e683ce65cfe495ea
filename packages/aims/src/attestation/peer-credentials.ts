import { closeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { AimsError } from '../base/errors.ts'

/** Who is on the other end of a Unix socket, as the kernel noted it at `connect()`. Nothing here came from the caller. */
export interface PeerCredentials {
  readonly pid: number
  /** Effective user id. */
  readonly uid: number
  /** Effective group id. */
  readonly gid: number
  /**
   * A file descriptor of this process that pins the peer, so that its PID cannot pass to another process unnoticed.
   * Absent on kernels before 6.5. Close it with {@link releasePeerCredentials}.
   */
  readonly pidfd?: number
}

/** Asks the kernel who is on the other end of an accepted Unix socket. */
export interface PeerCredentialProvider {
  /**
   * Reads the credentials of the peer. Call it once, when the connection is accepted.
   *
   * Does not tell whether the process still exists, nor whether it passed the socket on: the attestor looks at the
   * first, and the second is the first process's own doing.
   *
   * @throws {@link AimsError} `attestation.peer_unreadable`
   */
  read(socket: Socket): PeerCredentials
}

// From the kernel's headers; the same on x86-64, arm64 and riscv64.
const SOL_SOCKET = 1
const SO_PEERCRED = 17
const SO_PEERPIDFD = 77

type GetSockOpt = (fd: number, level: number, name: number, value: Buffer, length: [number]) => number

/**
 * Loads the provider of this machine: `getsockopt` of the C library, called through koffi.
 *
 * koffi is an optional peer dependency whose binary lies in its npm package: nothing is compiled. Without a provider
 * there is no attestation, so do not open the socket then.
 *
 * @throws {@link AimsError} `attestation.provider_unavailable`
 * @see unix(7), SO_PEERCRED
 */
export async function loadPeerCredentialProvider(): Promise<PeerCredentialProvider> {
  if (process.platform !== 'linux') {
    throw new AimsError('attestation.provider_unavailable', 'kernel peer credentials are read on Linux only')
  }
  const getsockopt = await loadGetSockOpt()
  return {
    read(socket: Socket): PeerCredentials {
      const fd = fileDescriptor(socket)
      const credentials = readOption(getsockopt, fd, SO_PEERCRED, 12)
      if (credentials === undefined) {
        throw new AimsError('attestation.peer_unreadable', 'the socket has no peer credentials: not a Unix socket')
      }
      const pidfd = readOption(getsockopt, fd, SO_PEERPIDFD, 4)?.readInt32LE(0)
      return {
        pid: credentials.readInt32LE(0),
        uid: credentials.readUInt32LE(4),
        gid: credentials.readUInt32LE(8),
        ...(pidfd === undefined ? {} : { pidfd }),
      }
    },
  }
}

/** Closes what {@link PeerCredentialProvider} opened for one connection. Call it once, when the connection has closed. */
export function releasePeerCredentials(credentials: PeerCredentials): void {
  if (credentials.pidfd !== undefined) closeSync(credentials.pidfd)
}

async function loadGetSockOpt(): Promise<GetSockOpt> {
  try {
    const { default: koffi } = await import('koffi')
    // The program itself, and so the C library it runs on, whatever that one is called.
    const program = koffi.load(null)
    return program.func(
      'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)',
    ) as GetSockOpt
  } catch (cause) {
    throw new AimsError('attestation.provider_unavailable', 'koffi cannot be loaded', { cause })
  }
}

// The option's value, or nothing when the kernel does not have it for this socket.
function readOption(getsockopt: GetSockOpt, fd: number, name: number, size: number): Buffer | undefined {
  const value = Buffer.alloc(size)
  const length: [number] = [size]
  return getsockopt(fd, SOL_SOCKET, name, value, length) === 0 && length[0] === size ? value : undefined
}

// Node has no public way to the descriptor of a socket.
function fileDescriptor(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle')
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined
  if (typeof fd !== 'number' || fd < 0) {
    throw new AimsError('attestation.peer_unreadable', 'the socket is closed or has no file descriptor')
  }
  return fd
}
