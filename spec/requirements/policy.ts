import { type Requirement, topic } from './requirement.ts'

// biome-ignore format: one requirement per line
export const policy: readonly Requirement[] = [
  ...topic('policy', 'aims', 'draft-ietf-wimse-aims-00, Agent Authentication and Authorization Policy', [
    ['01', 'MAY', 'planned', 'any policy language that is versioned, reviewable and evaluated alike everywhere'],
    ['02', 'OURS', 'planned', 'policy covers all layers'],
  ]),
]
