import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  CSP_ID,
  chipOf,
  fullTable,
  makeReport,
  makeVek,
  type Product,
  type ReportOptions,
  SNP_TEST_ROOTS,
  TCB,
} from '../../../../../test/support/snp-pki.ts'
import type { JsonObject } from '../../base/json.ts'
import { attestEvidence } from '../evidence.ts'
import { readSnpPolicy } from './policy.ts'
import { snpVerifier } from './sev-snp.ts'

const verifier = snpVerifier({ roots: SNP_TEST_ROOTS })
const keys = new Map<string, ReturnType<typeof makeVek>>()
const keyOf = (product: Product, kind: 'VCEK' | 'VLEK') => {
  const name = `${product} ${kind}`
  const key = keys.get(name) ?? makeVek({ product, kind })
  keys.set(name, key)
  return key
}
const appraise = async (options: ReportOptions, policy: JsonObject): Promise<readonly string[]> => {
  const { product = 'Milan', kind = 'VCEK' } = options
  const key = keyOf(product, kind)
  const evidence = Buffer.concat([makeReport(key, options), fullTable(key, product, kind)])
  const context = { now: 1_780_000_000, expected: { kind: 'unchecked' } } as const
  return (await attestEvidence(verifier, evidence, context, readSnpPolicy(policy))).warnings
}

const digest = Buffer.alloc(48, 0x1d)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const other = 'ab'.repeat(48)
const chip = hex(chipOf('Milan'))
const turinChip = hex(chipOf('Turin'))
const DEBUG = 0x3001fn | (1n << 19n)
const MIGRATE = 0x3001fn | (1n << 18n)
const CXL = 0x3001fn | (1n << 21n)
const level = (change: object) => ({ ...TCB.Milan, ...change })
const milan = { bootloader: 4, tee: 1, snp: 24, microcode: 219 }

describe('the policy for SEV-SNP', () => {
  const passes: readonly (readonly [string, ReportOptions, JsonObject])[] = [
    ['debugging, where it is allowed', { policy: DEBUG }, { allowDebug: true }],
    ['a migration agent, where it is allowed', { policy: MIGRATE }, { allowMigrationAgent: true }],
    ['CXL, where it is allowed', { policy: CXL }, { allowCxl: true }],
    ['the right measurement, in capitals', {}, { measurements: ['4D'.repeat(48), other] }],
    ['the right ID key', { idKeyDigest: digest }, { idKeyDigests: hex(digest) }],
    ['the right author key', { authorKeyDigest: digest }, { authorKeyDigests: hex(digest) }],
    ['the right host data', { hostData: Buffer.alloc(32, 9) }, { hostData: '09'.repeat(32) }],
    ['another VMPL, where it is allowed', { vmpl: 1 }, { vmpl: [0, 1] }],
    ['one VMPL as a number', { vmpl: 2 }, { vmpl: 2 }],
    ['the minimum TCB to the digit', {}, { minimumTcb: { Milan: milan } }],
    ['a part of the minimum TCB', {}, { minimumTcb: { Milan: { microcode: 200 }, Genoa: {} } }],
    ['the minimum TCB of Turin', { product: 'Turin' }, { minimumTcb: { Turin: { fmc: 1 } } }],
    ['a guest SVN', {}, { minimumGuestSvn: 7 }],
    ['the right chip', {}, { chips: [chip], deniedChips: [turinChip] }],
    ['the right chip of Turin', { product: 'Turin' }, { chips: turinChip, deniedChips: chip }],
    ['the right cloud provider', { kind: 'VLEK' }, { cspIds: [CSP_ID] }],
    ['a VCEK, whatever the providers', {}, { cspIds: ['CN=other'], requireVcek: true }],
    ['the alias check (N10)', {}, { requireAliasCheck: true }],
    ['SMT that is off', { policy: 0x2001fn, platform: 0n }, { requireSmtOff: true }],
    ['hidden ciphertext', { policy: 0x103001fn, platform: 0x31n }, { requireCiphertextHiding: true }],
    ['a single socket', { policy: 0x13001fn }, { requireSingleSocket: true }],
    ['committed firmware', {}, { requireCommittedFirmware: true }],
    ['mitigations in force', { version: 5 }, { requiredMitigations: '0000000000000005' }],
    ['family and image', {}, { familyIds: '00'.repeat(16), imageIds: '00'.repeat(16) }],
    ['the product', {}, { products: ['Milan'] }],
  ]
  for (const [what, options, policy] of passes) {
    test(`${what} passes`, async () => {
      await appraise(options, policy)
    })
  }

  const refusals: readonly (readonly [string, string, ReportOptions, JsonObject])[] = [
    ['debugging (N8)', 'debug', { policy: DEBUG }, {}],
    ['version 2', 'not_allowed', { version: 2 }, {}],
    ['a migration agent', 'not_allowed', { policy: MIGRATE }, {}],
    ['CXL', 'not_allowed', { policy: CXL }, {}],
    ['VMPL 1 by default (N8)', 'not_allowed', { vmpl: 1 }, {}],
    ['VMPL 0 where 1 is asked for', 'not_allowed', {}, { vmpl: 1 }],
    ['a report that the host asked for', 'not_allowed', { vmpl: 0xffff_ffff }, { vmpl: [0, 1, 2, 3] }],
    ['another measurement', 'measurement_mismatch', {}, { measurements: other }],
    ['another ID key', 'measurement_mismatch', { idKeyDigest: digest }, { idKeyDigests: other }],
    ['no ID key', 'measurement_mismatch', {}, { idKeyDigests: other }],
    ['another author key', 'measurement_mismatch', { authorKeyDigest: digest }, { authorKeyDigests: other }],
    [
      'an author key that is not in force',
      'measurement_mismatch',
      { write: [[0x110, digest]] },
      { authorKeyDigests: hex(digest) },
    ],
    ['other host data', 'measurement_mismatch', {}, { hostData: '09'.repeat(32) }],
    ['another family', 'measurement_mismatch', {}, { familyIds: '01'.repeat(16) }],
    ['another image', 'measurement_mismatch', {}, { imageIds: '01'.repeat(16) }],
    ['a guest SVN below the minimum', 'not_allowed', {}, { minimumGuestSvn: 8 }],
    ['another product', 'not_allowed', {}, { products: ['Genoa', 'Turin'] }],
    ['a reported TCB below the minimum', 'tcb_out_of_date', {}, { minimumTcb: { Milan: { ...milan, tee: 2 } } }],
    [
      'a launch TCB below the minimum (N8)',
      'tcb_out_of_date',
      { launchTcb: level({ microcode: 218 }) },
      { minimumTcb: { Milan: milan } },
    ],
    ['a FMC below the minimum', 'tcb_out_of_date', { product: 'Turin' }, { minimumTcb: { Turin: { fmc: 2 } } }],
    ['a product without a minimum', 'not_allowed', {}, { minimumTcb: { Genoa: {} } }],
    ['a denied chip (N36)', 'revoked', {}, { deniedChips: [chip] }],
    ['a chip that is not listed', 'not_allowed', {}, { chips: turinChip }],
    ['a masked chip where chips are denied (N36)', 'not_allowed', { kind: 'VLEK' }, { deniedChips: [chip] }],
    ['a masked chip where chips are listed', 'not_allowed', { kind: 'VLEK' }, { chips: [chip] }],
    ['another cloud provider', 'not_allowed', { kind: 'VLEK' }, { cspIds: ['CN=other'] }],
    ['a VLEK where a VCEK is required', 'not_allowed', { kind: 'VLEK' }, { requireVcek: true }],
    ['no alias check (N10)', 'not_allowed', { platform: 1n }, { requireAliasCheck: true }],
    ['SMT of the platform', 'not_allowed', { policy: 0x2001fn }, { requireSmtOff: true }],
    ['SMT that the guest allows', 'not_allowed', { platform: 0n }, { requireSmtOff: true }],
    ['ciphertext hidden by chance', 'not_allowed', { platform: 0x31n }, { requireCiphertextHiding: true }],
    ['several sockets', 'not_allowed', {}, { requireSingleSocket: true }],
    ['provisional TCB', 'not_allowed', { currentTcb: level({ snp: 25 }) }, { requireCommittedFirmware: true }],
    ['provisional firmware', 'not_allowed', { write: [[0x1e8, Buffer.of(30)]] }, { requireCommittedFirmware: true }],
    ['a mitigation not there at launch', 'not_allowed', { version: 5 }, { requiredMitigations: '0000000000000007' }],
    ['no mitigation vectors', 'not_allowed', { version: 4 }, { requiredMitigations: '0000000000000001' }],
  ]
  for (const [what, code, options, policy] of refusals) {
    test(`${what} is refused as ${code}`, () =>
      assert.rejects(appraise(options, policy), { code: `attestation.${code}` }))
  }

  const malformed: readonly JsonObject[] = [
    { measurement: other },
    { measurements: 'ab' },
    { measurements: [] },
    { idKeyDigests: '00'.repeat(48) },
    { authorKeyDigests: ['00'.repeat(48)] },
    { vmpl: 4 },
    { vmpl: [] },
    { vmpl: ['0'] },
    { minimumTcb: { Naples: {} } },
    { minimumTcb: { Milan: { fmc: 1 } } },
    { minimumTcb: { Milan: { snp: 256 } } },
    { minimumTcb: { Milan: 3 } },
    { chips: 'c1' },
    { deniedChips: [`${chip}00`] },
    { requiredMitigations: ['0000000000000001', '0000000000000002'] },
    { requiredMitigations: 1 },
    { products: ['milan'] },
    { allowDebug: 'yes' },
  ]
  for (const policy of malformed) {
    test(`${JSON.stringify(policy).slice(0, 60)} is no policy`, () => {
      assert.throws(() => readSnpPolicy(policy), { code: 'attestation.policy_malformed' })
    })
  }

  test('warns of what it lets pass', async () => {
    const strict = { measurements: '4d'.repeat(48), minimumTcb: { Milan: {} } }
    const revocation = 'no revocation list of AMD is at hand: revocation is not known'
    assert.deepEqual(await appraise({}, strict), [revocation])
    assert.deepEqual(
      await appraise({ policy: DEBUG, platform: 1n, currentTcb: level({ snp: 25 }) }, { allowDebug: true }),
      [
        revocation,
        'the guest allows debugging',
        'the policy names no measurement and no key: any guest passes',
        'the policy sets no minimum TCB, and AMD publishes none',
        'the firmware has not ruled out aliased memory (BadRAM)',
        'the firmware is provisional: it can be rolled back',
      ],
    )
  })
})
