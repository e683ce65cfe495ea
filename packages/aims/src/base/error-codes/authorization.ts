/** Why a question to the policies cannot be asked. A "no" of the policies is a decision, not an error. */
export const AUTHORIZATION_CODES = {
  'authorization.ambiguous_path':
    'the path has two slashes in a row, a dot segment, an escape or a character that servers read differently: send one plain spelling',
  'authorization.path_too_long': 'the path is longer than 2048 characters',
  'authorization.unknown_method': 'the HTTP method is not one that policies can name',
  'authorization.no_route':
    'no route of the gateway has this method and path: add one to its list, or leave the list out for all paths',
  'authorization.rights_unchecked':
    'the caller is a sub-agent, and the gateway knows no service to compare its rights with: give createGate its service, or policies',
  'authorization.denied': 'the policies do not allow this: the record with the id names the policies',
  'authorization.invalid_tool': 'a tool name has 1 to 128 letters, digits, underscores, dashes, dots and slashes',
  'authorization.engine_unavailable': 'the policy engine is not installed: npm install @cedar-policy/cedar-wasm',
  'authorization.invalid_policies': 'the policies given to the engine are not valid under the AIMS schema',
  'authorization.evaluation_failed': 'the engine could not evaluate the request, which denies it',
} as const
