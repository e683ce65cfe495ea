import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { azureCvmVerifier } from '../../packages/aims/src/attestation/azure-cvm/azure-cvm.ts'
import { checkRuntimeData, parseHclReport } from '../../packages/aims/src/attestation/azure-cvm/hcl.ts'
import { collateralOf } from '../../packages/aims/src/attestation/collateral.ts'
import { parseQuote } from '../../packages/aims/src/attestation/dcap/quote.ts'
import { attestEvidence } from '../../packages/aims/src/attestation/evidence.ts'
import { snpCollateral } from '../../packages/aims/src/attestation/sev-snp/files.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

const NOW = Date.parse('2025-06-01T00:00:00Z') / 1000
const CHALLENGE = Buffer.from('challenge')
// 48 bytes that the maker of the second evidence put into its quote and its user data.
const SECOND = Buffer.from(
  '982f5c6e45df0ed3f10b6f60b02f0c8390e281300f3805e2279c16168cd6ae9aa398f647caa2338748cd0fd9f5f819ef',
  'hex',
)

interface Evidence {
  readonly hcl_report: string
  readonly tpm_quote: { readonly pcrs: readonly string[] }
}

suite('attestation-azure-cvm', 'attestation', (dir) => {
  const snp = 'sev-snp/az-snp-vtpm'
  const tdx = 'tdx/az-tdx-vtpm'
  const read = (name: string): Buffer => readFileSync(join(dir, name))
  const json = (name: string): Evidence => JSON.parse(read(name).toString())
  const row = (
    id: string,
    evidence: Uint8Array | object,
    code?: string,
    options: {
      readonly data?: Uint8Array
      readonly policy?: JsonObject
      readonly rated?: boolean
      readonly bare?: boolean
    } = {},
  ): Case => ({
    id,
    expected: code === undefined ? 'accept' : 'reject',
    ...(code === undefined ? {} : { code: `attestation.${code}` }),
    run: () =>
      outcomeOf(() => {
        const { data = CHALLENGE, policy = {}, rated = false, bare = false } = options
        const name = `${snp}/vcek.pem`
        const verifier = azureCvmVerifier({
          snp: { collateral: snpCollateral(bare ? [] : [{ name, bytes: read(name) }]) },
          tdx: { collateral: collateralOf({}), acceptUnratedTcb: !rated },
        })
        const bytes = evidence instanceof Uint8Array ? evidence : Buffer.from(JSON.stringify(evidence))
        return attestEvidence(
          verifier,
          bytes,
          { now: NOW, expected: { kind: 'data', data } },
          verifier.readPolicy(policy),
        )
      }),
  })
  const v1 = json(`${snp}/evidence-v1.json`)
  const td = json(`${tdx}/evidence-v1.json`)
  const pcrs = (change: (list: readonly string[]) => readonly string[]): object => ({
    ...v1,
    tpm_quote: { ...v1.tpm_quote, pcrs: change(v1.tpm_quote.pcrs) },
  })
  const pcr7 = v1.tpm_quote.pcrs[7] ?? ''
  const hcl = (name: string, check: () => unknown): Case => ({
    id: name,
    expected: 'accept',
    run: () => outcomeOf(check),
  })
  return [
    row('SEV-SNP, version 1', read(`${snp}/evidence-v1.json`)),
    row('SEV-SNP, version 1, reference values', v1, undefined, {
      policy: { pcrs: { 'sha256:7': pcr7 }, requireSecureBoot: true },
    }),
    row('SEV-SNP, version 1, another PCR 7', v1, 'measurement_mismatch', {
      policy: { pcrs: { 'sha256:7': '00'.repeat(32) } },
    }),
    row('SEV-SNP, version 1, another challenge', v1, 'binding_mismatch', { data: Buffer.from('challengf') }),
    row('SEV-SNP, version 1, without the chain', v1, 'untrusted', { bare: true }),
    row('SEV-SNP, version 1, called version 2', { ...v1, version: 2 }, 'binding_mismatch'),
    row(
      'SEV-SNP, version 1, two PCRs exchanged',
      pcrs((list) => list.with(0, list[1] ?? '').with(1, list[0] ?? '')),
      'inconsistent',
    ),
    row(
      'SEV-SNP, version 1, a PCR less',
      pcrs((list) => list.slice(1)),
      'inconsistent',
    ),
    row('SEV-SNP, version 2', read(`${snp}/evidence-v2.json`), undefined, {
      data: SECOND,
      policy: { requireUserData: true },
    }),
    row('SEV-SNP, version 2, another challenge', read(`${snp}/evidence-v2.json`), 'binding_mismatch'),
    row(
      'SEV-SNP, version 1 with the quote of version 2',
      { ...v1, tpm_quote: json(`${snp}/evidence-v2.json`).tpm_quote },
      'invalid_signature',
      { data: SECOND },
    ),
    row('TDX, version 1, not rated', read(`${tdx}/evidence-v1.json`)),
    row('TDX, version 1, no collateral', td, 'collateral_missing', { rated: true }),
    row('TDX, version 1, SEPT_VE_DISABLE asked for', td, 'not_allowed', {
      policy: { tdx: { requireSeptVeDisable: true } },
    }),
    row('TDX, version 1, the quote of the other machine', { ...td, tpm_quote: v1.tpm_quote }, 'invalid_signature'),
    row('TDX, the report of the other machine', { ...td, hcl_report: v1.hcl_report }, 'inconsistent'),
    hcl('HCL report and quote of TDX', () => {
      const { report } = parseQuote(read(`${tdx}/td-quote.bin`))
      checkRuntimeData(
        parseHclReport(read(`${tdx}/hcl-report.bin`)),
        report.kind === 'sgx' ? Buffer.alloc(0) : report.reportData,
      )
    }),
    hcl('HCL report of SEV-SNP', () => {
      const parsed = parseHclReport(read(`${snp}/hcl-report.bin`))
      checkRuntimeData(parsed, parsed.hardwareReport.subarray(0x50, 0x90))
    }),
  ]
})
