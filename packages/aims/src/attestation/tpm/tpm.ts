import { asBuffer } from '../../base/bytes.ts'
import type { JsonObject } from '../../base/json.ts'
import type { AttestationResult } from '../attestor.ts'
import {
  type Authenticated,
  authenticatedEvidence,
  type EvidenceContext,
  type EvidenceVerifier,
  type Preparation,
} from '../evidence.ts'
import { prepareTpmActivation } from './activation.ts'
import { appraiseTpm, readTpmPolicy, type TpmPolicy } from './appraise.ts'
import { authenticateTpm, type TpmClaims, type TpmFindings, type TpmTrust } from './authenticate.ts'
import { MAX_TPM_EVIDENCE, parseTpmDocument } from './document.ts'

/** A verifier that has something to ask of a TPM, and answers at once. */
export interface TpmVerifier extends EvidenceVerifier<TpmClaims, TpmPolicy> {
  prepare(hello: JsonObject, context: { readonly now: number }): Preparation
  authenticate(evidence: Uint8Array, context: EvidenceContext): Authenticated<TpmClaims>
}

/**
 * Verifies evidence of a TPM 2.0: a JSON object with standard padded base64 members
 *
 * - `akPublic`: TPMT_PUBLIC of the attestation key;
 * - `quote`, `signature`: TPMS_ATTEST and TPMT_SIGNATURE of TPM2_Quote; `pcrs`: the values quoted, in hex by bank and
 *   index, as `{"sha256": {"0": "..."}}`;
 * - `certify`: `{public, attest, signature}` of TPM2_Certify for a key that lives in the TPM;
 * - `ekCertificate` (one, or an array with its intermediates), `ekPublic`, `secret`: the endorsement key, and what came
 *   out of the challenge's credential;
 * - `akCertificate`: in place of these, where a cloud certifies attestation keys;
 * - `eventLog`: the boot log that explains the values.
 *
 * What the TPM signs must be the binding digest (SHA-256), in the quote and in `certify`. Checks one signature
 * for each certificate below a root and for each statement. Does not remember keys, clocks or challenges: the server does.
 *
 * @throws {@link AimsError} `attestation.*`
 * @see docs/layers/3-attestation-tpm.md
 */
export function tpmVerifier(trust: TpmTrust): TpmVerifier {
  return {
    type: 'tpm',
    maxSize: MAX_TPM_EVIDENCE,
    prepare: (hello, context) => prepareTpmActivation(hello, trust, context),
    authenticate(evidence, context): Authenticated<TpmClaims> {
      const findings = authenticateTpm(parseTpmDocument(evidence), trust, context)
      const { claims } = findings
      return authenticatedEvidence({
        claims,
        result: resultOf(findings, context.now),
        attested:
          claims.endorsementKey === undefined ? `tpm:ak:${claims.attestationKey}` : `tpm:ek:${claims.endorsementKey}`,
      })
    },
    readPolicy: readTpmPolicy,
    appraise: ({ claims }, policy) => appraiseTpm(claims, policy),
  }
}

function resultOf({ claims, certified, isBound }: TpmFindings, now: number): AttestationResult {
  const [first] = certified
  const ends = certified.map(({ chain }) => chain.expiresAt)
  return {
    type: 'tpm',
    selectors: selectorsOf(claims),
    verifiedAt: now,
    ...(ends.length === 0 ? {} : { evidenceNotAfter: Math.min(...ends) }),
    binding: isBound ? 'full' : 'none',
    freshness: isBound ? 'nonce' : 'none',
    ...(first === undefined ? {} : { hardwareRoot: first.chain.root.fingerprint }),
    debug: false,
    attributes: attributesOf(claims),
    warnings: [],
  }
}

function selectorsOf(claims: TpmClaims): readonly string[] {
  const { endorsementKey, attestationKey, manufacturer, instance, quote, residentKey, secureBoot } = claims
  return [
    ...(endorsementKey === undefined ? [] : [`tpm:ek:${endorsementKey}`]),
    `tpm:ak:${attestationKey}`,
    ...(manufacturer === undefined ? [] : [`tpm:manufacturer:${manufacturer}`]),
    ...(instance === undefined
      ? []
      : [
          `tpm:gce:project-id:${instance.projectId}`,
          `tpm:gce:zone:${instance.zone}`,
          `tpm:gce:instance-id:${instance.instanceId}`,
        ]),
    ...[...(quote?.values ?? [])].map(([pcr, value]) => `tpm:pcr:${pcr}:${asBuffer(value).toString('hex')}`),
    ...(secureBoot === undefined ? [] : [`tpm:secureboot:${secureBoot}`]),
    ...(residentKey === undefined ? [] : ['tpm:resident-key:true']),
  ]
}

function attributesOf(claims: TpmClaims): { readonly [name: string]: string } {
  const { clock, firmwareVersion, model, version, instance, quote, residentKey } = claims
  return {
    'firmware-version': firmwareVersion.toString(16).padStart(16, '0'),
    'reset-count': `${clock.resetCount}`,
    'restart-count': `${clock.restartCount}`,
    clock: `${clock.clock}`,
    ...(quote === undefined ? {} : { 'pcr-digest': quote.pcrDigest }),
    ...(residentKey === undefined ? {} : { 'resident-key': residentKey }),
    ...(model === undefined ? {} : { model }),
    ...(version === undefined ? {} : { version }),
    ...(instance === undefined
      ? {}
      : {
          'instance-id': instance.instanceId,
          'instance-name': instance.name,
          'project-number': instance.projectNumber,
        }),
  }
}
