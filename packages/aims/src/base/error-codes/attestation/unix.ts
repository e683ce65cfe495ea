/** Why a process of this machine could not be attested. */
export const UNIX_CODES = {
  'attestation.provider_unavailable':
    'this machine cannot tell who is on the other end of a socket: install koffi, on Linux, or do not open the socket',
  'attestation.peer_unreadable': 'the kernel did not tell the credentials of the peer of this socket',
  'attestation.foreign_pid_namespace':
    'the peer is in a PID namespace that this process cannot see: share the namespace or run an agent inside it',
  'attestation.process_gone': 'the process that opened the connection has ended, so nobody can be attested',
  'attestation.process_changed': 'the process is not the one that opened the connection, or has changed its user since',
  'attestation.process_malformed': 'a file of the process under /proc does not have the form the kernel documents',
} as const
