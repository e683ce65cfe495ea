// The same changed quotes and collateral before our verifier and before @phala/dcap-qvl: nothing that it refuses may be
// accepted here, but for what is listed and explained.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QuoteVerifier } from '@phala/dcap-qvl'
import fc from 'fast-check'
import { collateralOf } from '../packages/aims/src/attestation/collateral.ts'
import { dcapCollateralNames as names } from '../packages/aims/src/attestation/dcap/names.ts'
import { parseQuote, type Quote } from '../packages/aims/src/attestation/dcap/quote.ts'
import { BODY_SIZES } from '../packages/aims/src/attestation/dcap/report-body.ts'
import { sgxVerifier } from '../packages/aims/src/attestation/dcap/sgx.ts'
import { PLATFORM_STATUSES } from '../packages/aims/src/attestation/dcap/tcb-status.ts'
import { tdxVerifier } from '../packages/aims/src/attestation/dcap/tdx.ts'
import { attestEvidence } from '../packages/aims/src/attestation/evidence.ts'
import { AimsError } from '../packages/aims/src/base/errors.ts'
import {
  type CollateralChanges,
  DCAP_NOW,
  type DcapFiles,
  isvLevel,
  LOWEST,
  makeCollateralFiles,
  makeDcapPki,
  makeQuote,
  PCK_FIELDS,
  type QuoteChanges,
  type QuoteForm,
  tcbLevel,
  teeOf,
} from './support/dcap-pki.ts'

const pki = makeDcapPki()
const judgeOfOthers = QuoteVerifier.newWithRootCa(pki.root.der)
const CHAIN = pki.tcbSigner.pem + pki.root.pem
const RUNS = 2500

type Answer = { readonly accepted: true; readonly status: string } | { readonly accepted: false; readonly why: string }

function askOracle(tee: 'sgx' | 'tdx', quote: Buffer, files: DcapFiles, now: number): Answer {
  const text = (name: string) => Buffer.from(files[name] as Uint8Array).toString('utf8')
  const statement = (name: string) => /^\{"[a-zA-Z]+":([\s\S]*),"signature":"([\s\S]*)"\}$/.exec(text(name)) ?? []
  const hex = (name: string) => Buffer.from(files[name] as Uint8Array).toString('hex')
  const [, tcb_info = '', tcb_info_signature = ''] = statement(names.tcbInfo(tee, PCK_FIELDS.fmspc))
  const [, qe_identity = '', qe_identity_signature = ''] = statement(names.qeIdentity(tee))
  try {
    const { status } = judgeOfOthers.verify(
      quote,
      {
        tcb_info,
        tcb_info_signature,
        tcb_info_issuer_chain: CHAIN,
        qe_identity,
        qe_identity_signature,
        qe_identity_issuer_chain: CHAIN,
        root_ca_crl: hex(names.rootCrl),
        pck_crl: hex(names.pckCrl('platform')),
        pck_crl_issuer_chain: pki.ca.pem + pki.root.pem,
      },
      now,
    )
    return { accepted: true, status }
  } catch (error) {
    return { accepted: false, why: error instanceof Error ? error.message : String(error) }
  }
}

const LENIENT = {
  acceptedTcbStatuses: [
    ...PLATFORM_STATUSES.filter((one) => one !== 'Revoked'),
    'TDRelaunchAdvised',
    'TDRelaunchAdvisedConfigurationNeeded',
  ],
  acceptedAdvisories: ['INTEL-SA-00001', 'INTEL-SA-00002', 'INTEL-SA-00003'],
  // It does not look at these two.
  allowKeyLocker: true,
}

async function ask(tee: 'sgx' | 'tdx', quote: Buffer, files: DcapFiles, now: number): Promise<Answer> {
  const trust = { collateral: collateralOf(files), roots: new Set([pki.root.fingerprint]) }
  const context = { now, expected: { kind: 'unchecked' } } as const
  try {
    if (tee === 'sgx') {
      const { allowKeyLocker: _, ...policy } = LENIENT
      const verifier = sgxVerifier(trust)
      const { tcb } = await attestEvidence(verifier, quote, context, verifier.readPolicy(policy))
      return { accepted: true, status: tcb?.status ?? '' }
    }
    const verifier = tdxVerifier(trust)
    const { tcb } = await attestEvidence(verifier, quote, context, verifier.readPolicy(LENIENT))
    return { accepted: true, status: tcb?.status ?? '' }
  } catch (error) {
    if (!AimsError.is(error)) throw error
    return { accepted: false, why: error.code }
  }
}

// Where it refuses what Intel's library accepts.
const EXPLAINED: readonly (readonly [
  why: RegExp,
  applies: (form: QuoteForm, quote: Quote, files: DcapFiles) => boolean,
])[] = [
  // It takes SGX in version 3 only.
  [/^SGX TEE quote must have version 3/, (form) => form === 'v4-sgx' || form === 'v5-sgx'],
  // It hashes 32 bytes of authentication data whatever their number; Intel's samples have none.
  [/^QE report hash mismatch/, (_, quote) => quote.qeAuthData.length !== 32],
  // It compares components 0 and 1 of TDX also when they belong to a module that has an identity of its own, and so finds
  // a lower level or none.
  [
    /^(?:No matching TCB level found|TCB status is invalid: Revoked)/,
    (_, quote, files) => comparesModule(quote, files),
  ],
]

function comparesModule({ report }: Quote, files: DcapFiles): boolean {
  if (report.kind === 'sgx' || report.teeTcbSvn[1] === 0) return false
  const file = files[names.tcbInfo('tdx', PCK_FIELDS.fmspc)] as Uint8Array
  const { tcbLevels } = JSON.parse(Buffer.from(file).toString()).tcbInfo
  return tcbLevels.some((level: { tcb: { tdxtcbcomponents: readonly { svn: number }[] } }) =>
    [0, 1].some((at) => (level.tcb.tdxtcbcomponents[at]?.svn ?? 0) > (report.teeTcbSvn[at] as number)),
  )
}

const FORMS: readonly QuoteForm[] = ['v3', 'v4', 'v4-sgx', 'v5-sgx', 'v5-td10', 'v5-td15']
const MADE = new Map(
  FORMS.map((form) => [form, { quote: makeQuote(form, pki), files: makeCollateralFiles(teeOf(form), pki) }] as const),
)

const svn = fc.integer({ min: 0, max: 12 })
const attributes = fc.constantFrom<Readonly<Record<number, number>>>(
  {},
  ...Array.from({ length: 64 }, (_, bit) => ({
    [120 + (bit >> 3)]: bit >> 3 === 3 ? 0x10 | (1 << (bit & 7)) : 1 << (bit & 7),
  })),
  { 123: 0 },
)
// Changed and signed again: what is judged is the meaning.
const quoteChange = fc.record({
  body: fc.oneof(
    fc.record({ 0: svn, 1: fc.constantFrom(0, 1, 2, 3), 2: svn }),
    attributes,
    fc.record({ 48: fc.constantFrom(5, 7) }),
    fc.constant({ 600: 1 }),
    fc.record({ 64: fc.constantFrom(0, 1), 112: fc.constantFrom(0, 1) }),
  ),
  qeReport: fc.oneof(
    fc.constant({}),
    fc.record({ 258: fc.integer({ min: 0, max: 5 }) }),
    fc.record({ 48: fc.constantFrom(0x11, 0x13, 0x15, 0x31), 16: fc.constantFrom(0, 1) }),
    fc.record({ 128: fc.nat(255), 256: fc.integer({ min: 0, max: 3 }) }),
  ),
  authData: fc.constantFrom(Buffer.alloc(32, 10), Buffer.alloc(0), Buffer.alloc(31), Buffer.alloc(32)),
})
const firstComponent = (first: number) => Array.from({ length: 16 }, (_, at) => ({ svn: at === 0 ? first : 0 }))
const status = fc.constantFrom(...PLATFORM_STATUSES, 'Fine')
const level = fc.record({ status, pcesvn: fc.integer({ min: 10, max: 12 }), low: fc.boolean() })
const collateralChange = fc.oneof(
  fc.tuple(svn, fc.array(level, { minLength: 1, maxLength: 4 })).map(([tdx, levels]) => ({
    tcbInfo: {
      // In Intel's order, which the other takes for granted.
      tcbLevels: levels
        .toSorted((a, b) => Number(a.low) - Number(b.low) || b.pcesvn - a.pcesvn)
        .map(({ status, pcesvn, low }) =>
          tcbLevel(
            status,
            { advisoryIDs: ['INTEL-SA-00001'] },
            low ? { ...LOWEST, pcesvn } : { pcesvn, tdxtcbcomponents: firstComponent(tdx) },
          ),
        ),
    },
  })),
  fc
    .record({
      isvsvn: fc.integer({ min: 0, max: 6 }),
      word: fc.constantFrom('UpToDate', 'OutOfDate', 'Revoked', 'Fine'),
    })
    .map(({ isvsvn, word }) => ({
      qeIdentity: { tcbLevels: [isvLevel(isvsvn, word)] },
    })),
  fc.constantFrom<CollateralChanges>(
    {},
    { tcbInfo: { fmspc: '00906ED50001' } },
    { tcbInfo: { id: 'SGX' } },
    { tcbInfo: { id: 'TDX' } },
    { tcbInfo: { version: 1 } },
    { tcbInfo: { nextUpdate: '2025-06-24T00:00:00Z' } },
    { tcbInfo: { issueDate: '2025-06-26T00:00:00Z' } },
    { qeIdentity: { id: 'QE' } },
    { qeIdentity: { id: 'TD_QE' } },
    { qeIdentity: { nextUpdate: '2025-06-24T00:00:00Z' } },
    { qeIdentity: { miscselectMask: '0'.repeat(8) } },
    { qeIdentity: { attributesMask: '0'.repeat(32) } },
    { pckCrl: { serials: [1, 2, 3] } },
  ),
)

// Leaves out changes beyond the end of the body.
function within(form: QuoteForm, { body, ...change }: QuoteChanges): QuoteChanges {
  const size = BODY_SIZES[teeOf(form) === 'sgx' ? 'sgx' : form === 'v5-td15' ? 'td15' : 'td10']
  return { ...change, body: Object.fromEntries(Object.entries(body ?? {}).filter(([at]) => Number(at) < size)) }
}

interface Tally {
  readonly compared: number
  readonly bothAccepted: number
}

async function compare(form: QuoteForm, quote: Buffer, files: DcapFiles, now = DCAP_NOW): Promise<boolean> {
  const tee = teeOf(form)
  const ours = await ask(tee, quote, files, now)
  if (!ours.accepted) return false
  const theirs = askOracle(tee, quote, files, now)
  if (!theirs.accepted) {
    const isExplained = EXPLAINED.some(
      ([why, applies]) => why.test(theirs.why) && applies(form, parseQuote(quote), files),
    )
    assert.ok(isExplained, `${form}: accepted here, refused there: ${theirs.why}`)
    return false
  }
  // It knows nothing of modules and relaunch, so for TDX a status may be worse here. A quoting enclave that is out of date
  // makes its status the worse of two; Intel's library keeps that configuration is needed too.
  const keepsConfiguration = ours.status === 'OutOfDateConfigurationNeeded' && theirs.status === 'OutOfDate'
  if (tee === 'sgx' && !keepsConfiguration) assert.equal(ours.status, theirs.status)
  return true
}

async function tally(run: (count: (both: boolean) => void) => Promise<void>): Promise<Tally> {
  let compared = 0
  let bothAccepted = 0
  await run((both) => {
    compared += 1
    if (both) bothAccepted += 1
  })
  return { compared, bothAccepted }
}

test(`${RUNS} quotes and collateral of changed meaning: nothing that dcap-qvl refuses is accepted`, async (t) => {
  const { compared, bothAccepted } = await tally((count) =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...FORMS),
        quoteChange,
        collateralChange,
        fc.boolean(),
        async (form, change, collateral, both) => {
          const quote = makeQuote(form, pki, within(form, change as QuoteChanges))
          const changed = makeCollateralFiles(teeOf(form), pki, both ? collateral : {})
          count(await compare(form, quote, changed))
          count(await compare(form, makeQuote(form, pki), makeCollateralFiles(teeOf(form), pki, collateral)))
        },
      ),
      { numRuns: RUNS / 2 },
    ),
  )
  t.diagnostic(`${compared} compared, ${bothAccepted} accepted by both`)
  assert.ok(compared >= RUNS && bothAccepted > RUNS / 20)
})

test(`${RUNS} quotes and files of collateral with changed bytes: nothing that dcap-qvl refuses is accepted`, async (t) => {
  const { compared } = await tally((count) =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...FORMS),
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (form, where, at, mask) => {
          const { quote, files } = MADE.get(form) ?? assert.fail()
          const list = Object.keys(files).filter((name) => !name.endsWith('.pem'))
          const name = list[where % (list.length * 3)]
          const changed = Buffer.from(name === undefined ? quote : (files[name] as Uint8Array))
          changed[at % changed.length] = (changed[at % changed.length] as number) ^ mask
          if (name === undefined) count(await compare(form, changed, files))
          else count(await compare(form, quote, { ...files, [name]: changed }))
        },
      ),
      { numRuns: RUNS },
    ),
  )
  t.diagnostic(`${compared} compared`)
})

test('what is not changed is accepted by both', async () => {
  for (const form of FORMS) {
    const { quote, files } = MADE.get(form) ?? assert.fail()
    assert.equal((await ask(teeOf(form), quote, files, DCAP_NOW)).accepted, true)
    const isExplained = form === 'v4-sgx' || form === 'v5-sgx'
    const theirs = askOracle(teeOf(form), quote, files, DCAP_NOW)
    assert.equal(theirs.accepted, !isExplained, form)
  }
})
