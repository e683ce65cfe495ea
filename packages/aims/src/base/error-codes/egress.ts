/** Why the credential broker does not pass a request on, and what to do about it. */
export const EGRESS_CODES = {
  'egress.no_rule': 'no rule of the broker is about this destination: an operator adds one to agent.egress.rules',
  'egress.caller_denied':
    'rules are about this destination, and none is for this workload: see agents and selectors of the rule',
  'egress.method_denied':
    'the rule for this destination does not name the method: an operator adds it to methods of the rule',
  'egress.path_denied':
    'the rule for this destination does not name the path: an operator adds it to paths of the rule',
  'egress.rate_limited': 'the workload has used up what the rule allows for now: ask again later',
  'egress.too_busy':
    'the broker has as many requests under way for this user as it takes: ask again when one has ended',
  'egress.target_malformed':
    'the request target is not one that the broker takes: http://localhost/RULE/path, http://localhost/https/HOST/path, or as a proxy an absolute URL',
  'egress.request_malformed':
    'the request has fields that contradict each other or do not belong to it: send each once, and Host as in the target',
  'egress.host_refused':
    'the request came by a name that is not one of this machine, or from a web page: a program asks http://localhost:PORT, or the Unix socket',
  'egress.own_credentials': 'the request carries a credential of its own and the rule takes none: leave it out',
  'egress.tunnel_denied':
    'a tunnel shows the broker nothing, so it can prove nothing: use the base URL of the rule, or give the rule credential: {kind: tunnel}',
  'egress.body_too_large': 'the body is larger than the rule allows (maxRequest), or than can be signed: send less',
  'egress.credential_unavailable':
    'the workload has no credential of the kind that the rule names: see credentialTypes of its entry',
  'egress.response_invalid': 'the answer of the destination cannot be looked through: its coding is unknown or broken',
  'egress.response_too_large':
    'the answer of the destination is larger than the rule allows: ask for less, or raise maxResponse of the rule',
  'egress.secret_unknown': 'there is no secret of this name: aims secret put NAME',
  'egress.secret_invalid':
    'a secret has a name like weather-key, and is 16 to 8192 printable ASCII characters without blanks at its ends',
  'egress.secrets_damaged':
    'the file of secrets does not authenticate under its key: put both back from one copy, or make them anew',
} as const
