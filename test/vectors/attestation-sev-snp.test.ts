import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { attestEvidence } from '../../packages/aims/src/attestation/evidence.ts'
import { authenticateSnpReport } from '../../packages/aims/src/attestation/sev-snp/authenticate.ts'
import { checkSnpChain } from '../../packages/aims/src/attestation/sev-snp/chain.ts'
import { readSnpEvidence } from '../../packages/aims/src/attestation/sev-snp/evidence.ts'
import { snpCollateral } from '../../packages/aims/src/attestation/sev-snp/files.ts'
import { AMD_SNP_INTERMEDIATES, AMD_SNP_ROOTS } from '../../packages/aims/src/attestation/sev-snp/roots.ts'
import { snpVerifier } from '../../packages/aims/src/attestation/sev-snp/sev-snp.ts'
import { formatTcb } from '../../packages/aims/src/attestation/sev-snp/tcb.ts'
import { readEndorsementKey } from '../../packages/aims/src/attestation/sev-snp/vek.ts'
import { parseVendorCertificates } from '../../packages/aims/src/attestation/x509/vendor-certificate.ts'
import { AimsError } from '../../packages/aims/src/base/errors.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

interface Tcb {
  readonly bl: number
  readonly tee: number
  readonly snp: number
  readonly ucode: number
}
/** Fields of a report as an independent reader found them. */
interface Expected {
  readonly version: number
  readonly guestSvn: number
  readonly debug: boolean
  readonly vmpl: number
  readonly reportData: string
  readonly measurement: string
  readonly hostData: string
  readonly idKeyDigest: string
  readonly chipId: string
  readonly currentTcb: Tcb
  readonly reportedTcb: Tcb
  readonly committedTcb: Tcb
  readonly launchTcb: Tcb
}

const NOW = Date.parse('2025-06-01T00:00:00Z') / 1000
const MILAN_V3 = ['milan-v3-azure/vcek.der', 'milan-v3-azure/ask_ark.pem']
const GOOGLE = ['google/vcek.testcer', 'google/milan.testcer']
const VIRTEE = ['virtee/vcek_milan.der', 'virtee/cert_chain_milan']
const TRUSTEE = ['trustee/test-vcek.der', 'trustee/milan_ask_ark_asvk.pem']
const OLD = { allowVersion2: true }

suite('attestation-sev-snp', 'attestation/sev-snp', (dir) => {
  const read = (name: string): Buffer => readFileSync(join(dir, name))
  const collateralOf = (names: readonly string[]) => snpCollateral(names.map((name) => ({ name, bytes: read(name) })))
  const row = (
    id: string,
    evidence: string | Uint8Array,
    collateral: readonly string[],
    code?: string,
    options: { readonly policy?: JsonObject; readonly data?: string; readonly now?: string } = {},
  ): Case => ({
    id,
    expected: code === undefined ? 'accept' : 'reject',
    ...(code === undefined ? {} : { code: `attestation.${code}` }),
    run: () =>
      outcomeOf(() => {
        const verifier = snpVerifier({ collateral: collateralOf(collateral) })
        const { data, now, policy = {} } = options
        return attestEvidence(
          verifier,
          typeof evidence === 'string' ? read(evidence) : evidence,
          {
            now: now === undefined ? NOW : Date.parse(now) / 1000,
            expected: data === undefined ? { kind: 'unchecked' } : { kind: 'data', data: Buffer.from(data, 'hex') },
          },
          verifier.readPolicy(policy),
        )
      }),
  })
  // A real report with the certificate that its makers spoilt.
  const withKey = (key: string): Uint8Array =>
    Buffer.from(
      JSON.stringify({
        report: read('trustee/test-report.bin').toString('base64'),
        certificates: read(key).toString('base64'),
      }),
    )
  const flipped = read('milan-v3-azure/report.bin')
  flipped[0x90] = (flipped[0x90] as number) ^ 1

  const expected: { readonly [report: string]: Expected } = JSON.parse(read('expected.json').toString())
  const files: { readonly [report: string]: readonly string[] } = {
    'milan-v3-azure/report.bin': MILAN_V3,
    'google/attestation.bin': GOOGLE,
    'trustee/test-report.bin': TRUSTEE,
    'virtee/report_milan.hex': VIRTEE,
  }
  const tcb = ({ bl, tee, snp, ucode }: Tcb): string => formatTcb({ bootloader: bl, tee, snp, microcode: ucode })
  const fields = Object.entries(expected).map(
    ([name, wanted]): Case => ({
      id: `fields of ${name}`,
      expected: 'accept',
      run: () =>
        outcomeOf(() => {
          const collateral = collateralOf(files[name] ?? [])
          const { report } = authenticateSnpReport(readSnpEvidence(read(name)), { collateral }, NOW)
          const pairs = [
            [report.version, wanted.version],
            [report.guestSvn, wanted.guestSvn],
            [report.policy.allowsDebug, wanted.debug],
            [report.vmpl, wanted.vmpl],
            [report.reportData, wanted.reportData],
            [report.measurement, wanted.measurement],
            [report.hostData, wanted.hostData],
            [report.idKeyDigest, wanted.idKeyDigest],
            [report.chipId, wanted.chipId],
            [formatTcb(report.currentTcb), tcb(wanted.currentTcb)],
            [formatTcb(report.reportedTcb), tcb(wanted.reportedTcb)],
            [formatTcb(report.committedTcb), tcb(wanted.committedTcb)],
            [formatTcb(report.launchTcb), tcb(wanted.launchTcb)],
          ]
          if (pairs.some(([ours, theirs]) => ours !== theirs)) {
            throw new AimsError('attestation.inconsistent', 'a field is not what another reader found')
          }
        }),
    }),
  )

  // Chains as AMD hands them out, in the files of several projects: every certificate is one that is pinned.
  const chains = [
    ...['genoa', 'genoa_vlek', 'milan', 'milan_vlek', 'turin_vcek', 'turin_vlek'].map((n) => `google/ask_ark_${n}.pem`),
    ...['milan', 'genoa', 'turin'].map((n) => `trustee/${n}_ask_ark_asvk.pem`),
    ...['milan', 'genoa', 'turin'].flatMap((n) => [`virtee/${n}-ark.pem`, `virtee/${n}-ask.pem`]),
    ...['virtee/cert_chain_milan', 'virtee/cert_chain_turin', 'google/milan.testcer', 'google/milanvlek.testcer'],
  ].map(
    (name): Case => ({
      id: `pinned: ${name}`,
      expected: 'accept',
      run: () =>
        outcomeOf(() => {
          for (const { fingerprint } of parseVendorCertificates(read(name))) {
            if (AMD_SNP_ROOTS.has(fingerprint) || AMD_SNP_INTERMEDIATES.has(fingerprint)) continue
            throw new AimsError('attestation.untrusted', 'a certificate of AMD is not pinned')
          }
        }),
    }),
  )
  const turin: Case = {
    id: 'the chain of a VCEK of Turin',
    expected: 'accept',
    run: () =>
      outcomeOf(() => {
        const [certificate] = parseVendorCertificates(read('virtee/vcek_turin.der'))
        if (certificate === undefined) throw new TypeError('a file is empty')
        const key = readEndorsementKey(certificate)
        const candidates = parseVendorCertificates(read('virtee/cert_chain_turin'))
        const pins = { roots: AMD_SNP_ROOTS, intermediates: AMD_SNP_INTERMEDIATES }
        checkSnpChain({ certificate, key, candidates, lists: [], now: NOW, ...pins })
        if (key.hwid !== '1e550a8ee5cf9f4d' || key.tcb.fmc === undefined) {
          throw new AimsError('attestation.inconsistent', 'a field is not what another reader found')
        }
      }),
  }

  return [
    row('Milan, version 3', 'milan-v3-azure/report.bin', MILAN_V3),
    row('Milan, version 3, its REPORT_DATA', 'milan-v3-azure/report.bin', MILAN_V3, undefined, {
      data: 'af2910341dd8108360e485f1b72494255190b9cdd5ccb44b73b883037cf99f21',
    }),
    row('Milan, version 3, other REPORT_DATA', 'milan-v3-azure/report.bin', MILAN_V3, 'binding_mismatch', {
      data: 'af2910341dd8108360e485f1b72494255190b9cdd5ccb44b73b883037cf99f20',
    }),
    row('Milan, version 3, a policy', 'milan-v3-azure/report.bin', MILAN_V3, undefined, {
      policy: {
        measurements: expected['milan-v3-azure/report.bin']?.measurement ?? '',
        minimumTcb: { Milan: { bootloader: 4, snp: 24, microcode: 219 } },
        requireAliasCheck: true,
        minimumGuestSvn: 10,
      },
    }),
    row('Milan, version 3, a newer TCB asked for', 'milan-v3-azure/report.bin', MILAN_V3, 'tcb_out_of_date', {
      policy: { minimumTcb: { Milan: { microcode: 220 } } },
    }),
    row('Milan, version 3, changed', flipped, MILAN_V3, 'invalid_signature'),
    row('Milan, version 3, without its chain', 'milan-v3-azure/report.bin', MILAN_V3.slice(0, 1), 'untrusted'),
    row(
      'Milan, version 3, the chain of Genoa',
      'milan-v3-azure/report.bin',
      [MILAN_V3[0] ?? '', 'google/ask_ark_genoa.pem'],
      'untrusted',
    ),
    row('Milan, version 3, the key of another chip', 'milan-v3-azure/report.bin', VIRTEE, 'collateral_missing'),
    row('Milan, version 3, before its key', 'milan-v3-azure/report.bin', MILAN_V3, 'not_yet_valid', {
      now: '2025-01-28T16:26:54Z',
    }),
    row('Milan, version 3, after its key', 'milan-v3-azure/report.bin', MILAN_V3, 'expired', {
      now: '2032-01-28T16:26:56Z',
    }),
    row('debug', 'google/attestation.bin', GOOGLE, 'debug'),
    row('debug, allowed', 'google/attestation.bin', GOOGLE, undefined, {
      policy: { ...OLD, allowDebug: true },
      data: '0102030405',
    }),
    row('version 2', 'virtee/report_milan.hex', VIRTEE, 'not_allowed'),
    row('version 2, allowed', 'virtee/report_milan.hex', VIRTEE, undefined, { policy: OLD }),
    row('version 2, provisional', 'trustee/test-report.bin', TRUSTEE, undefined, { policy: OLD }),
    row('version 2, committed asked for', 'trustee/test-report.bin', TRUSTEE, 'not_allowed', {
      policy: { ...OLD, requireCommittedFirmware: true },
    }),
    ...['new', 'legacy'].map((one) =>
      row(
        `a key that AMD did not sign, ${one}`,
        withKey(`trustee/test-vcek-invalid-${one}.der`),
        TRUSTEE,
        'invalid_signature',
        {
          policy: OLD,
        },
      ),
    ),
    ...fields,
    ...chains,
    turin,
  ]
})
