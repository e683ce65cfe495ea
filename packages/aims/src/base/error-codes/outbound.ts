/** Why something was not fetched from elsewhere. Messages name what it was for, never the address. */
export const OUTBOUND_CODES = {
  'outbound.url_refused':
    'not a plain https URL: lower-case host name, no user, no fragment, no dot segments, nothing that two readers read in two ways',
  'outbound.host_refused': 'the host or its port is not one that may be reached for this purpose',
  'outbound.address_refused':
    'the host leads to an address inside a network: loopback, private, link-local, metadata or reserved',
  'outbound.unresolvable': 'the name of the host has no address: is DNS reachable from here',
  'outbound.unreachable': 'the host does not take or does not keep the connection',
  'outbound.tls_failed':
    'the host has no certificate for its name, or not that of the expected peer, from an authority that is trusted here',
  'outbound.timeout': 'the whole answer was not here in time',
  'outbound.redirected':
    'the host answered with a redirect that is not followed, or with too many: configure the final URL',
  'outbound.too_large': 'the answer is larger than this purpose allows',
  'outbound.wrong_type': 'the answer has another content type or coding than was asked for',
  'outbound.invalid_response': 'the answer is not HTTP as it should be',
  'outbound.rate_limited': 'the host asks for fewer requests: wait, then ask again',
  'outbound.refused_by_host': 'the host answered that it does not have this, or does not give it',
} as const
