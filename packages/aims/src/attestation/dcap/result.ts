import type { AttestationResult } from '../attestor.ts'
import type { VerifiedQuote } from './authenticate.ts'
import type { DcapTee } from './names.ts'

/** What a verifier adds to what is known of a quote. */
export interface ReportFacts {
  readonly now: number
  readonly isBound: boolean
  readonly debug: boolean
  readonly selectors: readonly string[]
  readonly attributes: { readonly [name: string]: string }
}

/** The result of a quote, and what stays the same whoever collects: the platform. */
export function dcapResult(
  tee: DcapTee,
  { platform, tcb, root, notAfter, warnings }: VerifiedQuote,
  { now, isBound, debug, selectors, attributes }: ReportFacts,
): { readonly result: AttestationResult; readonly attested: string } {
  const { ppid, fmspc, platformInstanceId } = platform
  return {
    result: {
      type: tee,
      selectors: [...selectors, `${tee}:tcb-status:${tcb.status}`, `${tee}:fmspc:${fmspc}`, `${tee}:debug:${debug}`],
      verifiedAt: now,
      evidenceNotAfter: notAfter,
      binding: isBound ? 'full' : 'none',
      freshness: isBound ? 'nonce' : 'none',
      hardwareRoot: root,
      tcb,
      debug,
      attributes: {
        ...attributes,
        fmspc,
        ppid,
        ...(platformInstanceId === undefined ? {} : { 'platform-instance-id': platformInstanceId }),
      },
      warnings,
    },
    attested: ppid,
  }
}
