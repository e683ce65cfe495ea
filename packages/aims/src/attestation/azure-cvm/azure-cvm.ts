import { asBuffer } from '../../base/bytes.ts'
import type { AttestationResult } from '../attestor.ts'
import { type DcapTcb, resolveTrust } from '../dcap/authenticate.ts'
import type { DcapPlatform } from '../dcap/pck.ts'
import type { TdReport } from '../dcap/report-body.ts'
import { bit, TD } from '../dcap/td-attributes.ts'
import { tdSelectors } from '../dcap/tdx.ts'
import { type Authenticated, authenticatedEvidence, type EvidenceContext, type EvidenceVerifier } from '../evidence.ts'
import { toHex } from '../packaging.ts'
import { snpWarnings } from '../sev-snp/authenticate.ts'
import { type SnpClaims, snpAttributes, snpClaims, snpSelectors } from '../sev-snp/sev-snp.ts'
import { appraiseAzureCvm } from './appraise.ts'
import {
  type AzureCvmTrust,
  authenticateAzureCvm,
  type ResolvedAzureCvmTrust,
  type VerifiedAzureCvm,
} from './authenticate.ts'
import { MAX_AZURE_CVM_EVIDENCE, parseAzureCvmDocument } from './document.ts'
import { type AzureCvmPolicy, readAzureCvmPolicy } from './policy.ts'

/** What is known of an Azure confidential VM, authenticated. */
export interface AzureCvmClaims {
  readonly hardware:
    | ({ readonly tee: 'sev-snp' } & SnpClaims)
    | { readonly tee: 'tdx'; readonly report: TdReport; readonly platform: DcapPlatform; readonly tcb: DcapTcb }
  /** Lower-case UUID. */
  readonly vmId: string
  /** As the paravisor configured it; PCR 7 says what it did. */
  readonly secureBoot: boolean
  /** Values of the quoted PCRs, hex, by `sha256:7`. */
  readonly pcrs: { readonly [pcr: string]: string }
  /** Of the vTPM's attestation key: RFC 7638, base64url. */
  readonly attestationKey: string
  readonly isUserDataBound: boolean
}

/**
 * Verifies confidential VMs of Azure, where a paravisor stands between hardware and guest: the report of SEV-SNP or quote
 * of TDX vouches for the runtime data, these for the key of a vTPM, and the vTPM for what was booted (PCRs) and for the
 * challenge. Evidence: the JSON of Confidential Containers' `az-snp-vtpm` and `az-tdx-vtpm` attesters, versions 1 and 2,
 * and the form without a version. The binding digest (SHA-256) is the quote's qualifying data; with version 2 the one of
 * SHA-512 is in the user data too.
 *
 * Does not check what the attestation key may do: that it is restricted to statements of the vTPM is the paravisor's
 * word, and the paravisor is what `measurement` or `mrtd` measure. Checks one RSA signature besides those of the hardware.
 *
 * @see docs/layers/3-attestation-azure-cvm.md
 */
export function azureCvmVerifier(trust: AzureCvmTrust): EvidenceVerifier<AzureCvmClaims, AzureCvmPolicy> {
  const resolved = { snp: trust.snp, tdx: trust.tdx === undefined ? undefined : resolveTrust(trust.tdx) }
  return {
    type: 'azure-cvm',
    maxSize: MAX_AZURE_CVM_EVIDENCE,
    authenticate: (evidence, context) => authenticate(evidence, context, resolved),
    readPolicy: readAzureCvmPolicy,
    appraise: ({ claims, result }, policy) => appraiseAzureCvm(claims, policy, result.verifiedAt),
  }
}

function authenticate(
  evidence: Uint8Array,
  context: EvidenceContext,
  trust: ResolvedAzureCvmTrust,
): Authenticated<AzureCvmClaims> {
  const verified = authenticateAzureCvm(parseAzureCvmDocument(evidence), trust, context)
  const claims = claimsOf(verified)
  const { isBound } = verified
  return authenticatedEvidence<AzureCvmClaims>({
    claims,
    attested: `azure-cvm:ak:${claims.attestationKey}`,
    result: {
      type: 'azure-cvm',
      selectors: selectorsOf(claims),
      verifiedAt: context.now,
      binding: isBound ? 'full' : 'none',
      freshness: isBound ? 'nonce' : 'none',
      ...hardwareResult(verified),
    },
  })
}

function claimsOf({ hardware, runtime, pcrs, isUserDataBound }: VerifiedAzureCvm): AzureCvmClaims {
  return {
    hardware:
      hardware.tee === 'sev-snp'
        ? { tee: 'sev-snp', ...snpClaims(hardware.verified) }
        : {
            tee: 'tdx',
            report: hardware.report,
            platform: hardware.verified.platform,
            tcb: hardware.verified.tcb,
          },
    vmId: runtime.vmId,
    secureBoot: runtime.secureBoot,
    pcrs: Object.fromEntries([...pcrs].map(([name, value]) => [name, toHex(asBuffer(value))])),
    attestationKey: runtime.attestationKeyThumbprint,
    isUserDataBound,
  }
}

type HardwareResult = Pick<
  AttestationResult,
  'evidenceNotAfter' | 'hardwareRoot' | 'tcb' | 'debug' | 'attributes' | 'warnings'
>

function hardwareResult({ hardware, runtime }: VerifiedAzureCvm): HardwareResult {
  const own = { 'vm-id': runtime.vmId, 'attestation-key': runtime.attestationKeyThumbprint }
  if (hardware.tee === 'sev-snp') {
    const { verified } = hardware
    return {
      evidenceNotAfter: verified.chain.notAfter,
      hardwareRoot: verified.chain.root.fingerprint,
      debug: verified.report.policy.allowsDebug,
      attributes: { ...snpAttributes(snpClaims(verified)), ...own },
      warnings: snpWarnings(verified),
    }
  }
  const { verified, report } = hardware
  return {
    evidenceNotAfter: verified.notAfter,
    hardwareRoot: verified.root,
    tcb: verified.tcb,
    debug: bit(report.tdAttributes, TD.debug),
    attributes: { mrtd: toHex(report.mrTd), fmspc: verified.platform.fmspc, ppid: verified.platform.ppid, ...own },
    warnings: verified.warnings,
  }
}

function selectorsOf({ hardware, vmId, secureBoot, pcrs }: AzureCvmClaims): readonly string[] {
  return [
    `azure-cvm:tee:${hardware.tee}`,
    `azure-cvm:vm-id:${vmId}`,
    `azure-cvm:secure-boot:${secureBoot}`,
    ...Object.entries(pcrs).map(([name, value]) => `azure-cvm:pcr:${name}:${value}`),
    ...(hardware.tee === 'sev-snp' ? snpSelectors(hardware) : tdSelectors(hardware.report)),
  ]
}
