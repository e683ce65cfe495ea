import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { flag, hexList, readPolicyFields } from '../appraisal/policy-fields.ts'
import { checkBoundData } from '../binding.ts'
import { type Authenticated, authenticatedEvidence, type EvidenceContext, type EvidenceVerifier } from '../evidence.ts'
import { authenticateQuote, type DcapTcb, type DcapTrust, type ResolvedTrust, resolveTrust } from './authenticate.ts'
import { unpackQuote } from './packaging.ts'
import type { DcapPlatform } from './pck.ts'
import { type DcapPolicy, dcapPolicyFields } from './policy.ts'
import { parseQuote } from './quote.ts'
import type { TdReport } from './report-body.ts'
import { dcapResult } from './result.ts'
import { type MeasuredEvent, replayRtmrs } from './rtmr.ts'
import { hex } from './signature.ts'
import { appraiseTd } from './td-appraise.ts'
import { bit, TD } from './td-attributes.ts'

/** Authenticated fields of a TDX quote. */
export interface TdxClaims {
  readonly report: TdReport
  readonly platform: DcapPlatform
  readonly tcb: DcapTcb
  /** What the RTMRs were extended with, where the event log was sent along. */
  readonly events?: readonly MeasuredEvent[]
}

/** What a guest must be. Every member that is given restricts; measurements are 48 bytes in hex, one or a list. */
export interface TdxPolicy extends DcapPolicy {
  readonly mrtd?: readonly string[] | undefined
  readonly rtmr0?: readonly string[] | undefined
  readonly rtmr1?: readonly string[] | undefined
  readonly rtmr2?: readonly string[] | undefined
  readonly rtmr3?: readonly string[] | undefined
  readonly mrconfigid?: readonly string[] | undefined
  readonly mrowner?: readonly string[] | undefined
  readonly mrownerconfig?: readonly string[] | undefined
  readonly mrseam?: readonly string[] | undefined
  /** Of version 1.5; must be zero when this is absent. */
  readonly mrservicetd?: readonly string[] | undefined
  /** SHA-384 digests that must all have been extended into an RTMR; needs the event log. */
  readonly requiredEvents?: readonly string[] | undefined
  /** Azure's guests have it clear. Default `true`. */
  readonly requireSeptVeDisable: boolean
  readonly allowMigratable: boolean
  readonly allowKeyLocker: boolean
}

// A quote and an event log, in base64.
const MAX_EVIDENCE = 262_144

/**
 * Verifies TDX quotes of DCAP, version 4, and 5 with TD reports 1.0 and 1.5: as bytes, in hex or in base64, or as JSON
 * `{"quote": base64, "eventLog": base64}` with the CCEL of the guest. What they must be bound to is in the report data.
 *
 * @see docs/layers/3-attestation-dcap.md
 */
export function tdxVerifier(trust: DcapTrust): EvidenceVerifier<TdxClaims, TdxPolicy> {
  const resolved = resolveTrust(trust)
  return {
    type: 'tdx',
    maxSize: MAX_EVIDENCE,
    authenticate: (evidence, context) => authenticate(evidence, context, resolved),
    readPolicy: readTdxPolicy,
    appraise: ({ claims, result }, policy) => appraiseTd(claims, policy, result.verifiedAt),
  }
}

/**
 * Reads a policy for guests of TDX.
 *
 * @throws {@link AimsError} `attestation.policy_malformed`
 */
export function readTdxPolicy(document: JsonObject): TdxPolicy {
  return readPolicyFields<TdxPolicy>(document, {
    ...dcapPolicyFields,
    mrtd: hexList(48),
    rtmr0: hexList(48),
    rtmr1: hexList(48),
    rtmr2: hexList(48),
    rtmr3: hexList(48),
    mrconfigid: hexList(48),
    mrowner: hexList(48),
    mrownerconfig: hexList(48),
    mrseam: hexList(48),
    mrservicetd: hexList(48),
    requiredEvents: hexList(48),
    requireSeptVeDisable: flag(true),
    allowMigratable: flag(false),
    allowKeyLocker: flag(false),
  })
}

/** Selectors of a TD report. */
export function tdSelectors(report: TdReport): readonly string[] {
  return [
    `tdx:mrtd:${hex(report.mrTd)}`,
    ...report.rtmr.map((value, at) => `tdx:rtmr${at}:${hex(value)}`),
    `tdx:mrconfigid:${hex(report.mrConfigId)}`,
    `tdx:mrowner:${hex(report.mrOwner)}`,
    `tdx:mrseam:${hex(report.mrSeam)}`,
  ]
}

function authenticate(
  evidence: Uint8Array,
  { now, expected }: EvidenceContext,
  trust: ResolvedTrust,
): Authenticated<TdxClaims> {
  const { quote: bytes, eventLog } = unpackQuote(evidence)
  const quote = parseQuote(bytes)
  const { report } = quote
  if (report.kind === 'sgx') throw new AimsError('attestation.unsupported', 'this is a quote of SGX, not of TDX')
  const verified = authenticateQuote(quote, 'tdx', trust, now)
  const isBound = checkBoundData('tdx', report.reportData, expected)
  const events = eventLog === undefined ? {} : { events: replayRtmrs(eventLog, report.rtmr) }
  const selectors = tdSelectors(report)
  const debug = bit(report.tdAttributes, TD.debug)
  return authenticatedEvidence<TdxClaims>({
    claims: { report, platform: verified.platform, tcb: verified.tcb, ...events },
    ...dcapResult('tdx', verified, { now, isBound, debug, selectors, attributes: { mrtd: hex(report.mrTd) } }),
  })
}
