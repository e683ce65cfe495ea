import { type Requirement, topic } from './requirement.ts'

// biome-ignore format: one requirement per line
export const monitoring: readonly Requirement[] = [
  ...topic('monitoring', 'log', 'AIMS security rules, L1 to L8', [
    ['01', 'OURS', 'implemented', 'L1: a record is durable before its effect is visible'],
    ['02', 'OURS', 'implemented', 'L2: the record says what was done'],
    ['03', 'OURS', 'planned', 'L3: the tree is hashed again before a checkpoint is signed'],
    ['04', 'OURS', 'implemented', 'L4: a log that was rolled back or forked does not start'],
    ['05', 'OURS', 'implemented', 'L5: only fields on a list are recorded'],
    ['06', 'OURS', 'implemented', 'L6: control characters are encoded'],
    ['07', 'OURS', 'planned', 'L7: metric labels are bounded'],
    ['08', 'OURS', 'implemented', 'L8: when the log fails, nothing privileged is done'],
  ]),
  ...topic('monitoring', 'aims', 'draft-ietf-wimse-aims-00, Agent Monitoring, Observability and Remediation', [
    ['01', 'MUST', 'planned', 'behaviour and authorization context can be reconstructed afterwards'],
    ['02', 'MAY', 'planned', 'participants subscribe to signals by SSF, with CAEP or RISC'],
    ['03', 'SHOULD', 'planned', 'a signal ends sessions, drops cached tokens, narrows privileges'],
    ['04', 'MUST', 'planned', 'revoked or narrowed authorization is enforced without undue delay'],
    ['05', 'MUST NOT', 'planned', 'cached decisions and tokens are used after a notice made them invalid'],
    ['06', 'MUST', 'planned', 'decisions and the remediation that follows are in a durable log'],
    ['07', 'MUST', 'planned', 'records show tampering and are kept as policy says'],
    ['08', 'MUST', 'implemented', 'records have the seven minimum fields'],
    ['09', 'SHOULD', 'planned', 'events are correlated to detect replay, confused deputies and escalation'],
    ['10', 'SHOULD', 'planned', 'operators can reconstruct a complete chain of execution'],
  ]),
]
