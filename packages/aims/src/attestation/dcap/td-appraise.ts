import { AimsError } from '../../base/errors.ts'
import { appraisePlatform, checkReference } from './policy.ts'
import { bit, isPossibleXfam, setBits, TD } from './td-attributes.ts'
import type { TdxClaims, TdxPolicy } from './tdx.ts'

/**
 * Compares a guest with a policy. Returns warnings.
 *
 * @throws {@link AimsError} `attestation.debug`, `.not_allowed`, `.measurement_mismatch`, `.tcb_out_of_date`, `.revoked`
 */
export function appraiseTd(claims: TdxClaims, policy: TdxPolicy, now: number): readonly string[] {
  const { report } = claims
  const warnings = [...checkAttributes(report.tdAttributes, policy)]
  if (!isPossibleXfam(report.xfam)) throw notAllowed('the extended features of the guest are not possible ones')
  warnings.push(...appraisePlatform(claims, policy, now))
  checkReference('mrtd', report.mrTd, policy.mrtd)
  for (const [at, name] of RTMRS.entries()) checkReference(name, report.rtmr[at] as Uint8Array, policy[name])
  checkReference('mrconfigid', report.mrConfigId, policy.mrconfigid)
  checkReference('mrowner', report.mrOwner, policy.mrowner)
  checkReference('mrownerconfig', report.mrOwnerConfig, policy.mrownerconfig)
  checkReference('mrseam', report.mrSeam, policy.mrseam)
  checkServiceTd(claims, policy)
  checkEvents(claims, policy)
  return warnings
}

const RTMRS = ['rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'] as const

function checkAttributes(attributes: Uint8Array, policy: TdxPolicy): readonly string[] {
  const isDebug = bit(attributes, TD.debug)
  if (isDebug && !policy.allowDebug) throw new AimsError('attestation.debug', 'the guest is in debug mode')
  const allowed: readonly number[] = [
    TD.debug,
    TD.septVeDisable,
    TD.protectionKeys,
    TD.perfmon,
    ...(policy.allowMigratable ? [TD.migratable] : []),
    ...(policy.allowKeyLocker ? [TD.keyLocker] : []),
  ]
  if (!setBits(attributes).every((number) => allowed.includes(number))) {
    throw notAllowed('the guest has an attribute that the policy does not allow')
  }
  if (policy.requireSeptVeDisable && !bit(attributes, TD.septVeDisable)) {
    throw notAllowed('the host can inject exceptions: SEPT_VE_DISABLE is clear')
  }
  return isDebug ? ['the guest is in debug mode'] : []
}

function checkServiceTd({ report }: TdxClaims, { mrservicetd }: TdxPolicy): void {
  const value = report.mrServiceTd ?? Buffer.alloc(48)
  if (mrservicetd !== undefined) checkReference('mrservicetd', value, mrservicetd)
  else if (value.some((byte) => byte !== 0)) throw notAllowed('a service TD is bound to the guest')
}

function checkEvents({ events = [] }: TdxClaims, { requiredEvents = [] }: TdxPolicy): void {
  const measured = new Set(events.map(({ digest }) => digest))
  if (!requiredEvents.every((digest) => measured.has(digest))) {
    throw new AimsError('attestation.measurement_mismatch', 'an event that the policy requires was not measured')
  }
}

function notAllowed(message: string): AimsError {
  return new AimsError('attestation.not_allowed', message)
}
