/** Why a policy set does not load. The set in use stays in use. */
export const POLICY_CODES = {
  'policy.invalid':
    'a policy does not parse, does not fit the AIMS schema, or can never apply: file, line and column are in the message',
  'policy.invalid_id': 'an @id has 1 to 128 letters, digits, dashes, dots, underscores, colons and slashes',
  'policy.duplicate_id': 'two policies of the set have the same @id',
  'policy.too_large': 'the set has more or larger files, or more policies, than the loader allows',
  'policy.not_text': 'a policy file is not UTF-8 text',
  'policy.unreadable': 'the policy directory or a file in it cannot be read, or is not a plain file inside it',
} as const
