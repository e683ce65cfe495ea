/** Why an identifier is refused, and what to do about it. */
export const IDENTIFIER_CODES = {
  'identifier.empty': 'the identifier is empty: pass a full URI such as spiffe://example.com/agent/name',
  'identifier.too_long': 'the identifier is longer than 2048 bytes, or its trust domain than 255',
  'identifier.wrong_scheme': 'the identifier must start with spiffe:// (or wimse://, where allowed), in lower case',
  'identifier.missing_trust_domain': 'there is no trust domain after the scheme',
  'identifier.bad_trust_domain_char': 'a trust domain has only lower-case letters, digits, dot, dash and underscore',
  'identifier.bad_trust_domain':
    'the trust domain has a port, user information or a path, or is an IP address under wimse://',
  'identifier.bad_path_char': 'a path segment has only letters, digits, dot, dash and underscore',
  'identifier.empty_segment': 'the path has an empty segment (two slashes in a row)',
  'identifier.dot_segment': 'the path has a . or .. segment',
  'identifier.trailing_slash': 'the identifier ends with a slash',
  'identifier.bad_escape': 'a percent escape is malformed, in lower case, or hides a character that needs no escape',
  'identifier.missing_path': 'a workload identifier needs a path: the trust domain alone names no workload',
  'identifier.unexpected': 'the identifier is well formed but is not one the caller accepts',
} as const
