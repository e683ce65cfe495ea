/** Why a program of AIMS does not start, or a request to its API is refused, and what to do about it. */
export const OPERATION_CODES = {
  'operation.config_unreadable': 'the configuration file cannot be read: check the path and its permissions',
  'operation.config_invalid':
    'the configuration has an unknown key or a wrong value: the message names file, line and key',
  'operation.data_directory_unwritable': 'the data directory cannot be created or written: check owner and disk',
  'operation.data_directory_open':
    'the data directory belongs to another user or is open to others: chown it, chmod 700',
  'operation.key_file_missing':
    'there is a store but no key-encryption key: put the file back, the stored keys cannot be read without it',
  'operation.key_file_mode': 'the key-encryption key is readable by others: chmod 600, and make a new one if it leaked',
  'operation.key_file_invalid': 'the key-encryption key is not a regular file of exactly 32 bytes',
  'operation.key_file_wrong': 'this is not the key-encryption key that the stored keys were wrapped with',
  'operation.store_damaged':
    'the store, or a row of it, does not authenticate under the key-encryption key: restore a backup',
  'operation.agent_identity_damaged':
    'the kept identity of this agent is not whole: remove the file, and have the machine attested anew',
  'operation.store_rolled_back':
    'the store is older than what is remembered of it: put the newest one back, or accept it with --accept-older-store (server) or --accept-rollback (restore), which is recorded',
  'operation.rollback_memory_missing':
    'the file that remembers how far the store had come is gone: put it back, or see rollback.file; --accept-older-store starts without it',
  'operation.rollback_memory_invalid':
    'the file that remembers how far the store had come is not one of this server and its key: see rollback.file',
  'operation.rollback_file_unwritable':
    'how far the store has come cannot be remembered: set rollback.file to a path this user may write, apart from the data directory',
  'operation.restore_unfinished': 'a restore into this data directory was interrupted: run it again',
  'operation.data_directory_not_empty':
    'a backup is restored into an empty data directory only: name another one, or move what is there away',
  'operation.backup_unknown': 'there is no such backup under way: it was ended, took too long, or the server restarted',
  'operation.backup_invalid':
    'the backup is incomplete, was changed, or was not made under this key-encryption key: take another one',
  'operation.backup_foreign': 'the backup is one of another trust domain or log than the configuration names',
  'operation.no_way_back': 'this version of the program made no change to the store that could be taken back',
  'operation.port_busy': 'another process listens on this address: stop it, or configure another port',
  'operation.address_unavailable': 'the listen address does not exist here, or this user may not listen on it',
  'operation.socket_busy': 'another process listens on this socket: stop it, or configure another path',
  'operation.socket_foreign': 'something that is not a socket of this user lies where the socket belongs: remove it',
  'operation.socket_directory_open':
    'others may replace files in the directory of the socket: chown it, chmod 750 or less',
  'operation.socket_unavailable': 'the socket cannot be made here: check the directory and the length of the path',
  'operation.clock_went_back':
    'the clock is behind the last record by more than a minute: set it right, or, when it was ahead before, wait until the time that the message names',
  'operation.shutting_down': 'the server is stopping: ask again, or ask another one',
  'operation.request_malformed': 'the request is not what the API describes: see /v1/openapi.json',
  'operation.request_too_large': 'the request has more bytes or header fields than the server takes',
  'operation.unsupported_media_type': 'send application/json, without content coding',
  'operation.unknown_route': 'there is no such path here',
  'operation.method_not_allowed': 'the path exists and does not take this method',
  'operation.host_not_allowed': 'the Host header is not one of the names of this server: see listen.allowedHosts',
  'operation.origin_not_allowed':
    'a web page has sent the request, and none may: call from a program, without Origin and Sec-Fetch-Site',
  'operation.unauthenticated': 'the route needs a caller that has proved who it is',
  'operation.not_permitted': 'the caller is known and may not do this',
  'operation.rate_limited':
    'this caller asks more often than it may: wait as long as Retry-After says, or have its limit raised (limits.*)',
  'operation.busy': 'too many requests wait at once: ask again later',
  'operation.internal': 'the server failed: the operator finds the cause under the id',
  'operation.key_manager_unavailable':
    'the key manager cannot be reached or used: package, module, token, PIN, network',
  'operation.key_manager_refused': 'the key manager refuses: the key is gone, or may not be used for this',
  'operation.key_manager_denied': 'the key manager does not let this server do that: credentials, role, policy',
  'operation.key_manager_throttled': 'the key manager takes no more requests for now: ask again, or raise its quota',
  'operation.key_manager_timeout':
    'the key manager did not answer in time: nothing was issued; look at it, and try again',
  'operation.key_manager_invalid': 'the key manager answered with a signature or key that is not the right one',
  'operation.key_manager_missing': 'a stored key is in a key manager that is not configured: set keys.manager to it',
  'operation.upstream_unreachable': 'the upstream server, or the identity to ask it with, is not there: see the cause',
  'operation.service_unreachable':
    'the service behind the gateway does not take connections, or broke off: is it running',
  'operation.service_timeout': 'the service behind the gateway did not answer in time: see gateway.serviceTimeout',
  'operation.upstream_refused':
    'the upstream server does not do this: is the entry of this server downstream there, and, in an AIMS, has keys.downstreamTtl a value',
  'operation.upstream_invalid': 'the upstream server answered with a certificate or bundle that is not the right one',
  'operation.upstream_unreadable': 'the files of keys.upstream cannot be read, or hold no way from a CA to a root',
  'operation.server_unreachable':
    'the server does not answer: is it running, is this its socket or address, and may this user open that socket',
  'operation.server_timeout': 'the server did not answer in time',
  'operation.invalid_response': 'the answer is not one that this version of the API gives',
} as const
