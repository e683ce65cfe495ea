/** Why a program does not start, or does not go on. */
export const OPERATION_CODES = {
  'operation.socket_path_invalid': 'a socket path is absolute, without . or .. segments, and at most 107 bytes long',
  'operation.socket_directory_unsafe':
    'the directory of the socket can be changed by others: make it, and those above it, writable by its owner only',
  'operation.socket_in_use': 'another process listens on this socket: stop it, or choose another path',
  'operation.socket_foreign': 'something that is not our old socket lies at the socket path: remove it by hand',
} as const
