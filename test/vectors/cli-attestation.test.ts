import { join } from 'node:path'
import { file, verdict } from '../support/cli.ts'
import { type Case, suite } from './suite.ts'

// Genuine evidence, judged by `aims verify evidence` with loose files and the roots that are built in.

/** Options of one case; those that name a file are relative to the folder of the vectors. */
interface Row {
  readonly id: string
  readonly evidence: string
  /** RFC 3339. */
  readonly now: string
  readonly collateral?: readonly string[]
  readonly policy?: object
  readonly more?: readonly string[]
  /** Absent: accepted. */
  readonly code?: string
}

const SWTPM_NONCE = '66b674984d5201ee38df9019edef599396996d560d67b0991be731075bd1216d'
const SWTPM_ROOT = '2882679545a14bc0ecf88f47f76330856f3647a02c615c8de66c66c91a007a7e'

const ROWS: { readonly [type: string]: readonly Row[] } = {
  'aws-nitro': [
    { id: 'valid', evidence: 'aws-nitro/valid-attestation-doc-bytes', now: '2022-10-13T09:00:00Z' },
    {
      id: 'expired',
      evidence: 'aws-nitro/valid-attestation-doc-bytes',
      now: '2022-10-13T11:58:03Z',
      code: 'attestation.expired',
    },
    {
      id: 'another nonce',
      evidence: 'aws-nitro/valid-attestation-doc-bytes',
      now: '2022-10-13T09:00:00Z',
      more: ['--nonce', '00'.repeat(32)],
      code: 'attestation.binding_mismatch',
    },
    {
      id: 'debug',
      evidence: 'aws-nitro/debug-mode-attestation-doc-bytes',
      now: '2022-10-12T14:00:00Z',
      code: 'attestation.debug',
    },
    {
      id: 'debug, allowed',
      evidence: 'aws-nitro/debug-mode-attestation-doc-bytes',
      now: '2022-10-12T14:00:00Z',
      policy: { allowDebug: true },
    },
  ],
  'aws-iid': [
    {
      id: 'rsa2048',
      evidence: 'aws/iid-rsa2048-uswest2.b64',
      collateral: ['aws/aws-iid-ca.json'],
      now: '2021-09-03T21:25:50Z',
    },
    {
      id: 'rsa2048, directory',
      evidence: 'aws/iid-rsa2048-uswest2.b64',
      collateral: ['aws'],
      now: '2021-09-03T21:25:50Z',
    },
    {
      id: 'rsa2048, another region',
      evidence: 'aws/iid-rsa2048-uswest2.b64',
      collateral: ['aws/aws-iid-ca.json'],
      more: ['--region', 'us-east-1'],
      now: '2021-09-03T21:25:50Z',
      code: 'attestation.issuer_unknown',
    },
    {
      id: 'DSA',
      evidence: 'aws/iid-pkcs7-dsa-2016.b64',
      collateral: ['aws/aws-dsa-ca.pem'],
      now: '2016-04-08T00:00:00Z',
      code: 'attestation.weak_key',
    },
  ],
  azure: [
    ...['20220419-072721', Buffer.from('20220419-072721').toString('hex')].map((nonce) => ({
      id: `nonce ${nonce}`,
      evidence: 'azure/attested-regular-2022.b64',
      collateral: ['azure/ms-rsa-tls-ca-01.pem', 'azure/baltimore-cybertrust-root.pem'],
      now: '2022-04-19T02:00:00Z',
      more: ['--nonce', nonce],
    })),
    {
      id: 'another nonce',
      evidence: 'azure/attested-regular-2022.der',
      collateral: ['azure'],
      now: '2022-04-19T02:00:00Z',
      more: ['--nonce', '20220419-072722'],
      code: 'attestation.binding_mismatch',
    },
  ],
  tpm: [
    {
      id: 'quote, signature, key and PCRs',
      evidence: 'tpm/swtpm/quote.msg',
      collateral: ['tpm/swtpm/quote.sig', 'tpm/swtpm/ak.pub', 'tpm/swtpm/quote.pcrs'],
      now: '2026-11-24T00:00:00Z',
      more: ['--nonce', SWTPM_NONCE],
      policy: { selection: 'sha256:0,1,2,3,4,7' },
    },
    ...['quote.msg', 'quote_ecc.msg'].map((name) => ({
      id: `all of the directory, ${name}`,
      evidence: `tpm/swtpm/${name}`,
      collateral: ['tpm/swtpm'],
      now: '2026-11-24T00:00:00Z',
      more: ['--nonce', SWTPM_NONCE, '--root', SWTPM_ROOT],
    })),
    {
      id: 'all of the directory, without a root for the endorsement key',
      evidence: 'tpm/swtpm/quote.msg',
      collateral: ['tpm/swtpm'],
      now: '2026-11-24T00:00:00Z',
      code: 'attestation.untrusted',
    },
    {
      id: 'certified key',
      evidence: 'tpm/swtpm/certify.msg',
      collateral: ['tpm/swtpm/certify.sig', 'tpm/swtpm/ak.pub', 'tpm/swtpm/wk.pub'],
      now: '2026-11-24T00:00:00Z',
      more: ['--nonce', '00ff55aa'],
      policy: { acceptWithoutQuote: true, requireResidentKey: true },
    },
    {
      id: 'certified key in place of a quote',
      evidence: 'tpm/swtpm/certify.msg',
      collateral: ['tpm/swtpm/certify.sig', 'tpm/swtpm/ak.pub'],
      now: '2026-11-24T00:00:00Z',
      more: ['--nonce', '00ff55aa'],
      code: 'attestation.malformed',
    },
    {
      id: 'replayed quote',
      evidence: 'tpm/swtpm/quote_bound.msg',
      collateral: ['tpm/swtpm/quote_bound.sig', 'tpm/swtpm/ak.pub'],
      now: '2026-11-24T00:00:00Z',
      more: ['--nonce', SWTPM_NONCE],
      code: 'attestation.binding_mismatch',
    },
    {
      id: 'bank that is not active',
      evidence: 'tpm/swtpm/quote_2bank.msg',
      collateral: ['tpm/swtpm/quote_2bank.sig', 'tpm/swtpm/ak.pub'],
      now: '2026-11-24T00:00:00Z',
      code: 'attestation.not_enough',
    },
  ],
  'azure-cvm': [
    {
      id: 'SEV-SNP',
      evidence: 'sev-snp/az-snp-vtpm/evidence-v1.json',
      collateral: ['sev-snp/az-snp-vtpm/vcek.pem'],
      now: '2025-06-01T00:00:00Z',
      more: ['--nonce', Buffer.from('challenge').toString('hex')],
    },
    {
      id: 'TDX, not rated',
      evidence: 'tdx/az-tdx-vtpm/evidence-v1.json',
      now: '2025-06-01T00:00:00Z',
      more: ['--nonce', Buffer.from('challenge').toString('hex'), '--accept-unrated-tcb'],
    },
    {
      id: 'TDX without collateral',
      evidence: 'tdx/az-tdx-vtpm/evidence-v1.json',
      now: '2025-06-01T00:00:00Z',
      code: 'attestation.collateral_missing',
    },
  ],
  gcp: [
    {
      id: 'a whole token, its own audience',
      evidence: 'gcp/gce-full-2021-03.jwt',
      collateral: ['gcp/jwks-2021-03.json'],
      now: '2021-03-24T15:00:00Z',
      more: ['--audience', 'https://subscription.rhsm.redhat.com:443/subscription'],
      policy: { projects: ['fair-kingdom-308514'] },
    },
    {
      id: 'another audience, all of the directory',
      evidence: 'gcp/gce-full-2021-03.jwt',
      collateral: ['gcp'],
      now: '2021-03-24T15:00:00Z',
      more: ['--audience', 'https://example.com'],
      code: 'attestation.binding_mismatch',
    },
    {
      id: 'the keys of another issuer',
      evidence: 'gcp/gce-full-2021-03.jwt',
      collateral: ['github/jwks-2022.json'],
      now: '2021-03-24T15:00:00Z',
      code: 'attestation.key_unknown',
    },
  ],
  github: [
    {
      id: 'its own audience',
      evidence: 'github/token-2022-07.jwt',
      collateral: ['github/jwks-2022.json'],
      now: '2022-07-15T11:22:00Z',
      more: ['--audience', 'github-token-action-server'],
      policy: { repositories: ['514238596'] },
    },
    {
      id: 'another issuer',
      evidence: 'github/token-2022-07.jwt',
      collateral: ['github/jwks-2022.json'],
      now: '2022-07-15T11:22:00Z',
      more: ['--issuer', 'https://token.actions.githubusercontent.com/octo'],
      code: 'attestation.issuer_unknown',
    },
    {
      id: 'another repository',
      evidence: 'github/token-2022-07.jwt',
      collateral: ['github/jwks-2022.json'],
      now: '2022-07-15T11:22:00Z',
      policy: { repositories: ['514238597'] },
      code: 'attestation.not_allowed',
    },
  ],
  'sev-snp': [
    {
      id: 'Milan, version 3',
      evidence: 'sev-snp/milan-v3-azure/report.bin',
      collateral: ['sev-snp/milan-v3-azure/vcek.der', 'sev-snp/milan-v3-azure/ask_ark.pem'],
      now: '2025-06-01T00:00:00Z',
      more: ['--nonce', 'af2910341dd8108360e485f1b72494255190b9cdd5ccb44b73b883037cf99f21'],
    },
    {
      id: 'all of the directory',
      evidence: 'sev-snp/milan-v3-azure/report.bin',
      collateral: ['sev-snp'],
      now: '2025-06-01T00:00:00Z',
    },
    {
      id: 'version 2, in hex',
      evidence: 'sev-snp/virtee/report_milan.hex',
      collateral: ['sev-snp/virtee/vcek_milan.der', 'sev-snp/virtee/cert_chain_milan'],
      now: '2025-06-01T00:00:00Z',
      policy: { allowVersion2: true },
    },
    {
      id: 'debug',
      evidence: 'sev-snp/google/attestation.bin',
      collateral: ['sev-snp/google/vcek.testcer', 'sev-snp/google/milan.testcer'],
      now: '2025-06-01T00:00:00Z',
      more: ['--nonce', '0102030405'],
      code: 'attestation.debug',
    },
    {
      id: 'the root of another product',
      evidence: 'sev-snp/milan-v3-azure/report.bin',
      collateral: ['sev-snp/milan-v3-azure/vcek.der', 'sev-snp/milan-v3-azure/ask_ark.pem'],
      now: '2025-06-01T00:00:00Z',
      more: ['--root', '4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1'],
      code: 'attestation.untrusted',
    },
  ],
  sgx: [
    {
      id: 'collateral of dcap-qvl, hardening allowed',
      evidence: 'sgx/phala_sgx_quote_v3.dat',
      collateral: ['sgx/phala_sgx_quote_collateral.json'],
      now: '2025-06-25T00:00:00Z',
      policy: {
        acceptedTcbStatuses: ['UpToDate', 'ConfigurationAndSWHardeningNeeded'],
        acceptedAdvisories: ['INTEL-SA-00289', 'INTEL-SA-00615'],
      },
      more: ['--nonce', Buffer.from('Hello, world!').toString('hex')],
    },
    {
      id: 'collateral of dcap-qvl, strict',
      evidence: 'sgx/phala_sgx_quote_v3.dat',
      collateral: ['sgx/phala_sgx_quote_collateral.json'],
      now: '2025-06-25T00:00:00Z',
      code: 'attestation.tcb_out_of_date',
    },
    {
      id: 'no collateral',
      evidence: 'sgx/phala_sgx_quote_v3.dat',
      now: '2025-06-25T00:00:00Z',
      code: 'attestation.collateral_missing',
    },
    {
      id: 'debug',
      evidence: 'sgx/trustee/occlum_quote.dat',
      now: '2025-06-25T00:00:00Z',
      more: ['--accept-unrated-tcb'],
      code: 'attestation.debug',
    },
  ],
  tdx: [
    {
      id: 'collateral of dcap-qvl',
      evidence: 'tdx/phala_tdx_quote_v4.dat',
      collateral: ['tdx/phala_tdx_quote_collateral.json'],
      now: '2025-06-25T00:00:00Z',
    },
    {
      id: 'a directory of answers of Intel, no level',
      evidence: 'tdx/google/tdx_prod_quote_SPR_E4.dat',
      collateral: ['tdx/google'],
      now: '2023-07-01T01:00:00Z',
      code: 'attestation.tcb_unknown',
    },
    {
      id: 'later than the collateral',
      evidence: 'tdx/phala_tdx_quote_v4.dat',
      collateral: ['tdx/phala_tdx_quote_collateral.json'],
      now: '2025-08-25T00:00:00Z',
      code: 'attestation.collateral_expired',
    },
    {
      id: 'debug',
      evidence: 'tdx/trustee/tdx_quote_4.dat',
      now: '2025-06-25T00:00:00Z',
      more: ['--accept-unrated-tcb'],
      code: 'attestation.debug',
    },
  ],
}

suite('cli-attestation', 'attestation', (dir) =>
  Object.entries(ROWS).flatMap(([type, rows]) =>
    rows.map(
      ({ id, evidence, now, collateral = [], policy, more = [], code }): Case => ({
        id: `${type}: ${id}`,
        expected: code === undefined ? 'accept' : 'reject',
        ...(code === undefined ? {} : { code }),
        run: () =>
          verdict(
            ...['verify', 'evidence', '--type', type, '--evidence', join(dir, evidence), '--now', now],
            ...collateral.flatMap((one) => ['--collateral', join(dir, one)]),
            ...(policy === undefined ? [] : ['--policy', file(policy)]),
            ...more,
          ),
      }),
    ),
  ),
)
