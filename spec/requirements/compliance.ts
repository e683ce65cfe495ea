import { type Requirement, topic } from './requirement.ts'

// biome-ignore format: one requirement per line
export const compliance: readonly Requirement[] = [
  ...topic('compliance', 'aims', 'draft-ietf-wimse-aims-00, Agent Compliance', [
    ['01', 'SHOULD', 'planned', 'observed behaviour is audited against the policy'],
    ['02', 'SHOULD', 'planned', 'observability is strong, and somebody answers for every agent'],
    ['03', 'OURS', 'planned', 'the security considerations of every specification used apply, RFC 9700 and FAPI 2.0 among them'],
  ]),
]
