import { type Check, type CheckFacts, checkOf } from '../base/check.ts'
import type { AimsErrorCode } from '../base/errors.ts'
import { isServedBy } from './agent-group.ts'
import type { CredentialType, RegistrationEntry } from './entry.ts'
import type { IssuanceRequest } from './issuer.ts'

/** One rule of issuance: whether it is why this was refused, and what it looks at. */
interface Rule {
  readonly check: string
  readonly fails: (entry: RegistrationEntry, request: IssuanceRequest, type: CredentialType) => boolean
  readonly tell: (entry: RegistrationEntry, request: IssuanceRequest, type: CredentialType) => CheckFacts
}

// In the order in which the issuer looks at them.
const RULES: readonly Rule[] = [
  {
    check: 'entry.agents',
    fails: ({ agents }, { agent }) => agent === undefined && agents !== undefined,
    tell: ({ agents }, { agent }) => ({
      expected: agents === undefined ? 'any agent' : 'one of the agents that the entry names',
      observed: agent?.spiffeId ?? 'the agent beside the server',
      difference: 'agents',
    }),
  },
  {
    check: 'entry.selectors',
    fails: ({ selectors }, { posture }) => selectors.some((one) => !posture.selectors.includes(one)),
    tell: ({ selectors }, { posture }) => {
      const missing = selectors.filter((one) => !posture.selectors.includes(one))
      return {
        expected: selectors.join(' '),
        observed: missing.length === 0 ? 'all of them' : `without ${missing.join(' ')}`,
        difference: 'selectors',
      }
    },
  },
  {
    check: 'entry.evidence',
    fails: ({ attestation, manifest, revision }, { appraisedRevision }) =>
      (attestation !== undefined || manifest !== undefined) && appraisedRevision !== revision,
    tell: ({ attestation, manifest, revision }, { appraisedRevision }) => ({
      expected: attestation === undefined && manifest === undefined ? 'none' : `appraised for revision ${revision}`,
      observed: appraisedRevision === undefined ? 'none' : `appraised for revision ${appraisedRevision}`,
      difference: 'evidence',
    }),
  },
  {
    check: 'entry.credential-type',
    fails: ({ credentialTypes }, _, type) => !credentialTypes.includes(type),
    tell: ({ credentialTypes }, _, type) => ({
      expected: credentialTypes.join(' or '),
      observed: type,
      difference: 'credential-type',
    }),
  },
]

/** The checks behind an issuance that was refused, the last of them failed. For its record; it decides nothing. */
export function issuanceChecks(
  type: CredentialType,
  request: IssuanceRequest,
  entry: RegistrationEntry | undefined,
  code: AimsErrorCode,
): readonly Check[] {
  const { entryId: expected, agent } = request
  if (entry === undefined) return [checkOf('entry.known', 'failed', { expected, observed: 'no such entry' })]
  if (agent !== undefined && !isServedBy(entry, agent)) {
    return [checkOf('entry.known', 'failed', { expected, observed: `none of ${agent.spiffeId}`, difference: 'agents' })]
  }
  const checks: Check[] = [checkOf('entry.known', 'passed', { expected, observed: entry.spiffeId })]
  for (const { check, fails, tell } of RULES) {
    const { expected: wanted = '', observed = '', difference = '' } = tell(entry, request, type)
    if (fails(entry, request, type)) {
      return [...checks, checkOf(check, 'failed', { expected: wanted, observed, difference })]
    }
    checks.push(checkOf(check, 'passed', { expected: wanted, observed }))
  }
  return [...checks, checkOf('entry.issuance', 'failed', { observed: code })]
}
