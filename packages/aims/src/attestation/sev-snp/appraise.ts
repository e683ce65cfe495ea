import { AimsError } from '../../base/errors.ts'
import type { SnpPolicy } from './policy.ts'
import type { SnpReport } from './report.ts'
import type { SnpClaims } from './sev-snp.ts'
import { isSameTcb, isTcbAtMost } from './tcb.ts'

/**
 * Compares a guest with a policy. Returns warnings.
 *
 * @throws {@link AimsError} `attestation.debug`, `.not_allowed`, `.measurement_mismatch`, `.tcb_out_of_date`, `.revoked`
 */
export function appraiseSnp(claims: SnpClaims, policy: SnpPolicy): readonly string[] {
  const { report } = claims
  if (report.policy.allowsDebug && !policy.allowDebug) {
    throw new AimsError('attestation.debug', 'the guest allows debugging: its host can read its memory')
  }
  for (const [isKept, message] of rulesOf(claims, policy)) if (!isKept) throw notAllowed(message)
  checkChip(claims, policy)
  checkReferences(report, policy)
  checkMinimumTcb(claims, policy)
  return warningsOf(claims, policy)
}

type Rule = readonly [isKept: boolean, message: string]

function rulesOf({ report, product, endorsement }: SnpClaims, policy: SnpPolicy): readonly Rule[] {
  const { policy: guest, platform } = report
  const mitigations = policy.requiredMitigations ?? 0n
  const inForce = (report.launchMitigations ?? 0n) & (report.currentMitigations ?? 0n)
  const isCommitted =
    isSameTcb(report.committedTcb, report.currentTcb) &&
    (['major', 'minor', 'build'] as const).every((part) => report.committed[part] === report.current[part])
  return [
    [report.version !== 2 || policy.allowVersion2, 'reports of version 2 are accepted with allowVersion2 only'],
    [policy.products.includes(product), 'the policy does not accept this product'],
    [policy.vmpl.includes(report.vmpl), 'the report comes from a privilege level that the policy does not accept'],
    [!guest.allowsMigrationAgent || policy.allowMigrationAgent, 'a migration agent may take the guest elsewhere'],
    [!guest.allowsCxl || policy.allowCxl, 'the memory of the guest may be on a CXL device'],
    [report.guestSvn >= (policy.minimumGuestSvn ?? 0), 'the guest is older than the policy asks for'],
    [!policy.requireSmtOff || !(guest.allowsSmt || platform.smt), 'the platform or the guest allows SMT'],
    [!policy.requireAliasCheck || platform.aliasCheckComplete, 'the firmware has not ruled out aliased memory'],
    [
      !policy.requireCiphertextHiding || (platform.ciphertextHiding && guest.requiresCiphertextHiding),
      'the ciphertext of the guest is not hidden from its host',
    ],
    [!policy.requireSingleSocket || guest.requiresSingleSocket, 'the guest may run on several sockets'],
    [!policy.requireCommittedFirmware || isCommitted, 'the firmware can be rolled back'],
    [(inForce & mitigations) === mitigations, 'a mitigation that the policy requires is not in force'],
    [endorsement.kind === 'VCEK' || !policy.requireVcek, 'the policy accepts reports signed by a VCEK only'],
    [
      endorsement.cspId === undefined || (policy.cspIds?.includes(endorsement.cspId) ?? true),
      'the policy does not accept this cloud provider',
    ],
  ]
}

// A chip that is masked can be neither accepted nor denied by name.
function checkChip({ report: { chipId } }: SnpClaims, { deniedChips, chips }: SnpPolicy): void {
  if (chipId === undefined && (deniedChips !== undefined || chips !== undefined)) {
    throw notAllowed('the policy names chips, and the report does not tell its own')
  }
  if (chipId !== undefined && deniedChips?.includes(chipId)) {
    throw new AimsError('attestation.revoked', 'the policy denies this chip')
  }
  if (chipId !== undefined && chips?.includes(chipId) === false)
    throw notAllowed('the policy does not accept this chip')
}

function checkReferences(report: SnpReport, policy: SnpPolicy): void {
  const references: readonly (readonly [string, string, readonly string[] | undefined])[] = [
    ['the measurement', report.measurement, policy.measurements],
    ['the ID key', report.idKeyDigest, policy.idKeyDigests],
    ['the author key', report.authorKeyEnabled ? report.authorKeyDigest : '', policy.authorKeyDigests],
    ['the host data', report.hostData, policy.hostData],
    ['the family id', report.familyId, policy.familyIds],
    ['the image id', report.imageId, policy.imageIds],
  ]
  for (const [what, value, accepted] of references) {
    if (accepted?.includes(value) === false) {
      throw new AimsError('attestation.measurement_mismatch', `${what} is not among the reference values of the policy`)
    }
  }
}

function checkMinimumTcb({ report, product }: SnpClaims, { minimumTcb }: SnpPolicy): void {
  if (minimumTcb === undefined) return
  const minimum = minimumTcb[product]
  if (minimum === undefined) throw notAllowed('the policy has no minimum TCB for this product')
  const levels = Object.fromEntries(Object.entries(minimum).filter(([, value]) => value !== undefined))
  for (const tcb of [report.reportedTcb, report.committedTcb, report.launchTcb]) {
    if (!isTcbAtMost(levels, tcb)) {
      throw new AimsError('attestation.tcb_out_of_date', 'a TCB of the report is below the minimum of the policy')
    }
  }
}

function warningsOf({ report, endorsement }: SnpClaims, policy: SnpPolicy): readonly string[] {
  const named = [policy.measurements, policy.idKeyDigests, policy.authorKeyDigests]
  const conditions: readonly (readonly [boolean, string])[] = [
    [report.policy.allowsDebug, 'the guest allows debugging'],
    [named.every((one) => one === undefined), 'the policy names no measurement and no key: any guest passes'],
    [policy.minimumTcb === undefined, 'the policy sets no minimum TCB, and AMD publishes none'],
    [!report.platform.aliasCheckComplete, 'the firmware has not ruled out aliased memory (BadRAM)'],
    [!isSameTcb(report.committedTcb, report.currentTcb), 'the firmware is provisional: it can be rolled back'],
    [endorsement.kind === 'VLEK' && policy.cspIds === undefined, 'the policy names no cloud provider: any VLEK passes'],
  ]
  return conditions.filter(([applies]) => applies).map(([, warning]) => warning)
}

function notAllowed(message: string): AimsError {
  return new AimsError('attestation.not_allowed', message)
}
