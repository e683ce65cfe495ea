import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { dcapCollateral } from '../../packages/aims/src/attestation/dcap/files.ts'
import { parseQuote } from '../../packages/aims/src/attestation/dcap/quote.ts'
import type { SgxReport, TdReport } from '../../packages/aims/src/attestation/dcap/report-body.ts'
import { sgxVerifier } from '../../packages/aims/src/attestation/dcap/sgx.ts'
import { tdxVerifier } from '../../packages/aims/src/attestation/dcap/tdx.ts'
import { attestEvidence, authenticateEvidence } from '../../packages/aims/src/attestation/evidence.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { aims, file } from '../support/cli.ts'
import { type Case, type Outcome, outcomeOf, suite } from './suite.ts'

// Real quotes of SGX and TDX at the times they were made for. Where no collateral was handed over, signatures and chain are
// judged alone. The quotes of Intel's sample lead to a root that only has the name of the real one.

interface Trial {
  readonly tee: 'sgx' | 'tdx'
  readonly quote: string
  readonly collateral?: readonly string[]
  readonly now: string
  readonly policy?: JsonObject
  /** Codes; absent: accepted. */
  readonly refused?: string
  readonly status?: string
  /** Report data, as text or hex. */
  readonly reportData?: Uint8Array
}

const SGX = 'sgx/phala_sgx_quote_v3.dat'
const TDX = 'tdx/phala_tdx_quote_v4.dat'
const SPR = 'tdx/google/tdx_prod_quote_SPR_E4.dat'
const COS = 'tdx/google/ccel/cos-113-tdx-quote.dat'
const AZURE = 'tdx/az-tdx-vtpm/td-quote.bin'
const sgxFiles = ['sgx/phala_sgx_quote_collateral.json']
const tdxFiles = ['tdx/phala_tdx_quote_collateral.json']
const sprFiles = [
  'sample_tcbInfo_response',
  'sample_qeIdentity_response',
  'pckcrl',
  'rootcrl.der',
  'pckCrlIssuerChain.pem',
  'qeIssuerChain.pem',
  'tcbIssuerChain.pem',
].map((name) => `tdx/google/${name}`)
const hardening: JsonObject = {
  acceptedTcbStatuses: ['UpToDate', 'ConfigurationAndSWHardeningNeeded'],
  acceptedAdvisories: ['INTEL-SA-00289', 'INTEL-SA-00615'],
}
const NO_SEPT: JsonObject = { requireSeptVeDisable: false }
const JUNE = '2025-06-25T00:00:00Z'
const out = 'attestation.tcb_out_of_date'

const TRIALS: readonly Trial[] = [
  {
    tee: 'sgx',
    quote: SGX,
    collateral: sgxFiles,
    now: JUNE,
    policy: hardening,
    status: 'ConfigurationAndSWHardeningNeeded',
    reportData: Buffer.from('Hello, world!'),
  },
  { tee: 'sgx', quote: SGX, collateral: sgxFiles, now: '2025-06-19T10:56:11Z', policy: hardening },
  { tee: 'sgx', quote: SGX, collateral: sgxFiles, now: '2025-07-19T10:00:35Z', policy: hardening },
  {
    tee: 'sgx',
    quote: SGX,
    collateral: sgxFiles,
    now: '2025-06-19T10:56:10Z',
    policy: hardening,
    refused: 'attestation.collateral_expired',
  },
  {
    tee: 'sgx',
    quote: SGX,
    collateral: sgxFiles,
    now: '2025-07-19T10:56:12Z',
    policy: hardening,
    refused: 'attestation.collateral_expired',
  },
  { tee: 'sgx', quote: SGX, collateral: sgxFiles, now: JUNE, refused: out },
  {
    tee: 'sgx',
    quote: SGX,
    collateral: sgxFiles,
    now: JUNE,
    policy: { ...hardening, acceptedAdvisories: ['INTEL-SA-00289'] },
    refused: out,
  },
  {
    tee: 'sgx',
    quote: SGX,
    collateral: sgxFiles,
    now: JUNE,
    policy: { ...hardening, mrenclave: '33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb' },
  },
  {
    tee: 'sgx',
    quote: SGX,
    collateral: sgxFiles,
    now: JUNE,
    policy: hardening,
    reportData: Buffer.from('Hello, world?'),
    refused: 'attestation.binding_mismatch',
  },
  {
    tee: 'sgx',
    quote: SGX,
    collateral: tdxFiles,
    now: JUNE,
    policy: hardening,
    refused: 'attestation.collateral_missing',
  },
  { tee: 'sgx', quote: 'sgx/trustee/occlum_quote.dat', now: JUNE, refused: 'attestation.debug' },
  {
    tee: 'sgx',
    quote: 'sgx/trustee/occlum_quote.dat',
    now: JUNE,
    policy: { allowDebug: true },
    status: 'unrated',
    reportData: Buffer.from('test'),
  },
  { tee: 'sgx', quote: 'sgx/intel-sample/quote.dat', now: JUNE, refused: 'attestation.unsupported' },
  { tee: 'tdx', quote: TDX, collateral: tdxFiles, now: JUNE, status: 'UpToDate' },
  { tee: 'tdx', quote: TDX, collateral: tdxFiles, now: '2025-06-19T10:32:27Z', status: 'UpToDate' },
  {
    tee: 'tdx',
    quote: TDX,
    collateral: tdxFiles,
    now: '2025-06-19T10:32:26Z',
    refused: 'attestation.collateral_expired',
  },
  {
    tee: 'tdx',
    quote: TDX,
    collateral: tdxFiles,
    now: '2025-08-04T00:00:00Z',
    refused: 'attestation.collateral_expired',
  },
  { tee: 'tdx', quote: TDX, collateral: sgxFiles, now: JUNE, refused: 'attestation.collateral_missing' },
  { tee: 'sgx', quote: TDX, collateral: tdxFiles, now: JUNE, refused: 'attestation.unsupported' },
  {
    tee: 'tdx',
    quote: SPR,
    collateral: sprFiles,
    now: '2023-07-01T01:00:00Z',
    policy: NO_SEPT,
    refused: 'attestation.tcb_unknown',
  },
  {
    tee: 'tdx',
    quote: SPR,
    collateral: sprFiles,
    now: '2053-07-01T01:00:00Z',
    policy: NO_SEPT,
    refused: 'attestation.expired',
  },
  { tee: 'tdx', quote: SPR, now: '2023-07-01T01:00:00Z', refused: 'attestation.not_allowed' },
  { tee: 'tdx', quote: SPR, now: '2023-07-01T01:00:00Z', policy: NO_SEPT, status: 'unrated' },
  { tee: 'tdx', quote: COS, now: JUNE, status: 'unrated' },
  { tee: 'tdx', quote: 'tdx/trustee/tdx_quote_4.dat', now: JUNE, refused: 'attestation.debug' },
  { tee: 'tdx', quote: 'tdx/trustee/tdx_quote_4.dat', now: JUNE, policy: { allowDebug: true }, status: 'unrated' },
  { tee: 'tdx', quote: AZURE, now: JUNE, policy: NO_SEPT, status: 'unrated' },
  { tee: 'tdx', quote: AZURE, now: JUNE, refused: 'attestation.not_allowed' },
  { tee: 'tdx', quote: 'tdx/intel-sample/quote.dat', now: '2025-06-25T00:00:00Z', refused: 'attestation.untrusted' },
]

suite('attestation-dcap', 'attestation', (dir) => {
  const read = (name: string) => readFileSync(join(dir, name))
  return [...TRIALS.map((trial, at) => trialCase(trial, at, read)), ...fieldCases(read), ...flipCases(read)]
})

// The same through the command line.
suite('cli-attestation-dcap', 'attestation', (dir) =>
  TRIALS.map(({ tee, quote, collateral = [], now, policy = {}, refused, reportData }, at): Case => {
    const given = [
      ...['--type', tee, '--evidence', join(dir, quote), '--now', now, '--policy', file(policy)],
      ...collateral.flatMap((name) => ['--collateral', join(dir, name)]),
      ...(collateral.length === 0 ? ['--accept-unrated-tcb'] : []),
      ...(reportData === undefined ? [] : ['--nonce', Buffer.from(reportData).toString('hex')]),
    ]
    return {
      id: `${at} ${quote} at ${now}`,
      expected: refused === undefined ? 'accept' : 'reject',
      ...(refused === undefined ? {} : { code: refused }),
      async run(): Promise<Outcome> {
        const { exit, results } = await aims('verify', 'evidence', ...given)
        assert.equal(exit, refused === undefined ? 0 : 1)
        return refused === undefined ? { accepted: true } : { accepted: false, code: String(results[0]?.code) }
      },
    }
  }),
)

type Read = (name: string) => Buffer

function verifierOf({ tee, collateral = [] }: Trial, read: Read) {
  const source = dcapCollateral(collateral.map((name) => ({ name, bytes: read(name) })))
  const trust = { collateral: source, acceptUnratedTcb: collateral.length === 0 }
  return tee === 'sgx' ? sgxVerifier(trust) : tdxVerifier(trust)
}

function trialCase(trial: Trial, at: number, read: Read): Case {
  const { quote, now, policy = {}, refused, status, reportData } = trial
  const expected =
    reportData === undefined ? ({ kind: 'unchecked' } as const) : ({ kind: 'data', data: reportData } as const)
  return {
    id: `${at} ${quote} at ${now}`,
    expected: refused === undefined ? 'accept' : 'reject',
    ...(refused === undefined ? {} : { code: refused }),
    run: () =>
      outcomeOf(async () => {
        const verifier = verifierOf(trial, read) as ReturnType<typeof sgxVerifier>
        const context = { now: Date.parse(now) / 1000, expected }
        const result = await attestEvidence(verifier, read(quote), context, verifier.readPolicy(policy))
        if (status !== undefined) assert.equal(result.tcb?.status, status)
      }),
  }
}

interface Fields {
  readonly bodyType: number
  readonly trailing: number
  readonly report: Readonly<Record<string, unknown>>
}

// The fields that another reader found in each quote.
function fieldCases(read: Read): readonly Case[] {
  const expected = JSON.parse(read('intel-quotes.expected.json').toString()) as Readonly<Record<string, Fields>>
  return Object.entries(expected).map(([name, { report }]) => ({
    id: `fields of ${name}`,
    expected: 'accept',
    run(): Outcome {
      assert.deepEqual(fieldsOf(parseQuote(read(name)).report), report)
      return { accepted: true }
    },
  }))
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

function fieldsOf(report: SgxReport | TdReport): Readonly<Record<string, unknown>> {
  if (report.kind === 'sgx') {
    return {
      cpusvn: hex(report.cpuSvn),
      miscselect: report.miscSelect,
      attributes: hex(report.attributes),
      mrenclave: hex(report.mrEnclave),
      mrsigner: hex(report.mrSigner),
      isvprodid: report.isvProdId,
      isvsvn: report.isvSvn,
      reportData: hex(report.reportData),
    }
  }
  return {
    teeTcbSvn: hex(report.teeTcbSvn),
    mrseam: hex(report.mrSeam),
    mrsignerseam: hex(report.mrSignerSeam),
    seamattributes: hex(report.seamAttributes),
    tdattributes: hex(report.tdAttributes),
    xfam: hex(report.xfam),
    mrtd: hex(report.mrTd),
    mrconfigid: hex(report.mrConfigId),
    mrowner: hex(report.mrOwner),
    mrownerconfig: hex(report.mrOwnerConfig),
    rtmr: report.rtmr.map(hex),
    reportData: hex(report.reportData),
  }
}

// One changed bit in every byte of header and body, and in every ninth of the rest that is not padding.
function flipCases(read: Read): readonly Case[] {
  const trials = [TRIALS[0], TRIALS[13], ...TRIALS.filter(({ status }) => status === 'unrated')].filter(
    (one) => one !== undefined,
  )
  return trials.flatMap((trial) => {
    const quote = read(trial.quote)
    const verifier = verifierOf(trial, read) as ReturnType<typeof sgxVerifier>
    const signed = parseQuote(quote).signed.length
    const end = signed + 4 + quote.readUInt32LE(signed)
    const places = Array.from({ length: end }, (_, at) => at).filter((at) => at < signed || at % 9 === 0)
    const context = { now: Date.parse(trial.now) / 1000, expected: { kind: 'unchecked' } } as const
    return places.map(
      (at): Case => ({
        id: `${trial.quote} byte ${at}`,
        expected: 'reject',
        run: () =>
          outcomeOf(() => {
            const changed = Buffer.from(quote)
            changed[at] = (changed[at] as number) ^ (1 << (at % 8))
            return authenticateEvidence(verifier, changed, context)
          }),
      }),
    )
  })
}
