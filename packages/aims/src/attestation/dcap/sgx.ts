import { AimsError } from '../../base/errors.ts'
import { hexList, integer, malformed, readPolicyFields } from '../appraisal/policy-fields.ts'
import { checkBoundData } from '../binding.ts'
import { type Authenticated, authenticatedEvidence, type EvidenceContext, type EvidenceVerifier } from '../evidence.ts'
import { authenticateQuote, type DcapTcb, type DcapTrust, resolveTrust } from './authenticate.ts'
import { unpackQuote } from './packaging.ts'
import type { DcapPlatform } from './pck.ts'
import { appraisePlatform, checkReference, type DcapPolicy, dcapPolicyFields } from './policy.ts'
import { isDebugEnclave } from './qe-identity.ts'
import { MAX_QUOTE, parseQuote } from './quote.ts'
import type { SgxReport } from './report-body.ts'
import { dcapResult } from './result.ts'
import { hex } from './signature.ts'

/** Authenticated fields of an SGX quote. */
export interface SgxClaims {
  readonly report: SgxReport
  readonly platform: DcapPlatform
  readonly tcb: DcapTcb
}

/**
 * What an enclave must be. Every member that is given restricts: name the enclave by `mrenclave`, or by who signed it
 * (`mrsigner` with `isvprodid` and `minIsvsvn`).
 */
export interface SgxPolicy extends DcapPolicy {
  readonly mrenclave?: readonly string[] | undefined
  readonly mrsigner?: readonly string[] | undefined
  readonly isvprodid?: number | undefined
  readonly minIsvsvn?: number | undefined
}

/**
 * Verifies SGX quotes of DCAP, versions 3, 4 and 5: as bytes, in hex or in base64, or as JSON `{"quote": base64}`. What
 * they must be bound to is in the report data.
 *
 * Does not verify EPID quotes, or quotes that hold no certificate chain.
 *
 * @see docs/layers/3-attestation-dcap.md
 */
export function sgxVerifier(trust: DcapTrust): EvidenceVerifier<SgxClaims, SgxPolicy> {
  const resolved = resolveTrust(trust)
  return {
    type: 'sgx',
    maxSize: MAX_QUOTE * 2 + 1024,
    authenticate: (evidence, context) => authenticate(evidence, context, resolved),
    readPolicy(document) {
      const policy = readPolicyFields<SgxPolicy>(document, {
        ...dcapPolicyFields,
        mrenclave: hexList(32),
        mrsigner: hexList(32),
        isvprodid: integer(0, 0xffff),
        minIsvsvn: integer(0, 0xffff),
      })
      if (policy.mrsigner !== undefined && policy.isvprodid === undefined && policy.mrenclave === undefined) {
        throw malformed('mrsigner', 'needs isvprodid beside it: a signer may sign other products')
      }
      return policy
    },
    appraise,
  }
}

function authenticate(
  evidence: Uint8Array,
  { now, expected }: EvidenceContext,
  trust: ReturnType<typeof resolveTrust>,
): Authenticated<SgxClaims> {
  const quote = parseQuote(unpackQuote(evidence).quote)
  const { report } = quote
  if (report.kind !== 'sgx') throw new AimsError('attestation.unsupported', 'this is a quote of TDX, not of SGX')
  const verified = authenticateQuote(quote, 'sgx', trust, now)
  const isBound = checkBoundData('sgx', report.reportData, expected)
  const debug = isDebugEnclave(report)
  const [mrenclave, mrsigner] = [hex(report.mrEnclave), hex(report.mrSigner)]
  const selectors = [
    `sgx:mrenclave:${mrenclave}`,
    `sgx:mrsigner:${mrsigner}`,
    `sgx:isvprodid:${report.isvProdId}`,
    `sgx:isvsvn:${report.isvSvn}`,
  ]
  return authenticatedEvidence<SgxClaims>({
    claims: { report, platform: verified.platform, tcb: verified.tcb },
    ...dcapResult('sgx', verified, { now, isBound, debug, selectors, attributes: { mrenclave, mrsigner } }),
  })
}

function appraise({ claims, result }: Authenticated<SgxClaims>, policy: SgxPolicy): readonly string[] {
  const { report } = claims
  const debug = isDebugEnclave(report)
  if (debug && !policy.allowDebug) throw new AimsError('attestation.debug', 'the enclave is in debug mode')
  const warnings = appraisePlatform(claims, policy, result.verifiedAt)
  checkReference('mrenclave', report.mrEnclave, policy.mrenclave)
  checkReference('mrsigner', report.mrSigner, policy.mrsigner)
  if (policy.isvprodid !== undefined && report.isvProdId !== policy.isvprodid) {
    throw new AimsError('attestation.measurement_mismatch', 'isvprodid is not the one of the policy')
  }
  if (report.isvSvn < (policy.minIsvsvn ?? 0)) {
    throw new AimsError('attestation.tcb_out_of_date', 'isvsvn is lower than the policy asks for')
  }
  return debug ? [...warnings, 'the enclave is in debug mode'] : warnings
}
