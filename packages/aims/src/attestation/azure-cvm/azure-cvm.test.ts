import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  AZURE_CVM_NOW,
  AZURE_CVM_TRUST,
  type AzureCvmOptions,
  azureCvmEvidence,
  type Evidence,
  hclReport,
  jwkOf,
  legacyEvidence,
  NONCE,
  PCRS,
  runtimeData,
  VM_ID,
} from '../../../../../test/support/azure-cvm.ts'
import { authorities } from '../../../../../test/support/snp-pki.ts'
import { assertRefused } from '../../../../../test/support/tampering.ts'
import { newKey } from '../../../../../test/support/vendor-pki.ts'
import type { JsonObject } from '../../base/json.ts'
import { bindingDigest, type Challenge, type ExpectedBinding } from '../binding.ts'
import { attestEvidence } from '../evidence.ts'
import type { AzureCvmTrust } from './authenticate.ts'
import { azureCvmVerifier } from './azure-cvm.ts'
import { readAzureCvmPolicy } from './policy.ts'

interface Options {
  readonly expected?: ExpectedBinding
  readonly trust?: AzureCvmTrust
  readonly policy?: JsonObject
}
const attest = (evidence: Uint8Array, { expected, trust = AZURE_CVM_TRUST, policy = {} }: Options = {}) => {
  const verifier = azureCvmVerifier(trust)
  const context = { now: AZURE_CVM_NOW, expected: expected ?? ({ kind: 'data', data: NONCE } as const) }
  return attestEvidence(verifier, evidence, context, verifier.readPolicy(policy))
}
const refuses = (code: string, evidence: Uint8Array, options: Options = {}) =>
  assert.rejects(attest(evidence, options), { code: `attestation.${code}` })
const withQuote = (change: (quote: Evidence['tpm_quote']) => object): AzureCvmOptions => ({
  change: (evidence) => ({ ...evidence, tpm_quote: change(evidence.tpm_quote) }),
})
const hex = (byte: number, size: number): string => Buffer.alloc(size, byte).toString('hex')

describe('a confidential VM of Azure', () => {
  test('on SEV-SNP shows its hardware, its machine and its boot', async () => {
    const result = await attest(azureCvmEvidence())
    assert.deepEqual(result.selectors.slice(0, 3), [
      'azure-cvm:tee:sev-snp',
      `azure-cvm:vm-id:${VM_ID.toLowerCase()}`,
      'azure-cvm:secure-boot:true',
    ])
    assert.ok(result.selectors.includes(`azure-cvm:pcr:sha256:7:${hex(0xa7, 32)}`))
    assert.ok(result.selectors.includes('sev-snp:product:milan'))
    assert.deepEqual([result.binding, result.freshness, result.debug, result.tcb], ['full', 'nonce', false, undefined])
    assert.equal(result.hardwareRoot, authorities.Milan.ark.fingerprint)
    assert.ok(result.warnings.includes('the policy names no PCR: any boot passes'))
  })

  test('on TDX is rated as Intel rates it; SEPT_VE_DISABLE may be clear', async () => {
    const result = await attest(azureCvmEvidence({ tee: 'tdx' }))
    assert.equal(result.tcb?.status, 'UpToDate')
    assert.ok(result.selectors.includes('azure-cvm:tee:tdx') && result.selectors.includes(`tdx:mrtd:${hex(0xd2, 48)}`))
    await refuses('not_allowed', azureCvmEvidence({ tee: 'tdx' }), { policy: { tdx: { requireSeptVeDisable: true } } })
  })

  const forms: readonly (readonly [string, AzureCvmOptions])[] = [
    ['of the form without a version', { change: legacyEvidence }],
    ['of TDX without a version', { tee: 'tdx', change: legacyEvidence }],
    [
      'with padded base64',
      { change: (e) => ({ ...e, hcl_report: Buffer.from(e.hcl_report, 'base64url').toString('base64') }) },
    ],
    ['whose runtime data are hashed with SHA-384', { hash: 2 }],
    ['whose runtime data are hashed with SHA-512', { hash: 3 }],
    ['without padding after the runtime data', { tail: Buffer.alloc(0) }],
    ['without user data', { runtime: runtimeData({ 'user-data': undefined }) }],
    ['that quotes some PCRs', { indices: [0, 7] }],
  ]
  for (const [what, options] of forms) {
    test(`${what} is accepted`, async () => {
      await attest(azureCvmEvidence(options))
    })
  }

  test('is bound to a challenge by the quote, and with version 2 by the user data too', async () => {
    const challenge: Challenge = { nonce: Buffer.alloc(32, 3), publicKey: newKey().spki }
    const expected: ExpectedBinding = { kind: 'challenge', challenge, trustDomain: 'example.com' }
    const extraData = bindingDigest('azure-cvm', challenge, 'sha256')
    const userData = bindingDigest('azure-cvm', challenge, 'sha512')
    const runtime = runtimeData({ 'user-data': userData.toString('hex').toUpperCase() })
    const two = { change: (evidence: Evidence) => ({ ...evidence, version: 2 }) }
    const result = await attest(azureCvmEvidence({ extraData, runtime, ...two }), {
      expected,
      policy: { requireUserData: true },
    })
    assert.equal(result.binding, 'full')
    await attest(azureCvmEvidence({ extraData }), { expected })
    await refuses('not_enough', azureCvmEvidence({ extraData, runtime }), {
      expected,
      policy: { requireUserData: true },
    })
    await refuses('binding_mismatch', azureCvmEvidence({ extraData, ...two }), { expected })
    await refuses('binding_mismatch', azureCvmEvidence({ extraData: userData.subarray(1), runtime, ...two }), {
      expected,
    })
    await refuses(
      'malformed',
      azureCvmEvidence({ extraData, runtime: runtimeData({ 'user-data': undefined }), ...two }),
      {
        expected,
      },
    )
    const other: ExpectedBinding = { ...expected, challenge: { ...challenge, nonce: Buffer.alloc(32, 4) } }
    await refuses('binding_mismatch', azureCvmEvidence({ extraData, runtime, ...two }), { expected: other })
  })

  const stranger = newKey('RSA-2048')
  const small = newKey('RSA-1024')
  const [akJwk, ekJwk] = runtimeData().keys as readonly { readonly [member: string]: unknown }[]
  const machine = runtimeData()['vm-configuration'] as object
  const zeros = Buffer.alloc(64)
  const links: readonly (readonly [string, string, AzureCvmOptions])[] = [
    ['whose hardware vouches for other runtime data', 'inconsistent', { reportData: Buffer.alloc(32, 1) }],
    ['whose TD vouches for other runtime data', 'inconsistent', { tee: 'tdx', reportData: Buffer.alloc(32, 1) }],
    ['whose hardware vouches for nothing', 'inconsistent', { reportData: zeros }],
    ['whose quote another key signed', 'invalid_signature', { signer: stranger }],
    ['whose quote is signed with SHA-384', 'invalid_signature', { signHash: 'sha384' }],
    ['whose quote is bound to something else', 'binding_mismatch', { extraData: Buffer.from('challengf') }],
    ['whose quote is bound to nothing', 'binding_mismatch', { extraData: Buffer.alloc(0) }],
    ['whose quote is another kind of statement (N22)', 'unsupported', { quoteType: 0x8014 }],
    ['whose quote has other values', 'inconsistent', withQuote((q) => ({ ...q, pcrs: q.pcrs.with(3, hex(1, 32)) }))],
    [
      'whose PCRs are relabelled: two exchanged (N20)',
      'inconsistent',
      withQuote((q) => ({ ...q, pcrs: q.pcrs.with(0, q.pcrs[7] as string).with(7, q.pcrs[0] as string) })),
    ],
    [
      'with one PCR more than was quoted (N19)',
      'inconsistent',
      withQuote((q) => ({ ...q, pcrs: [...q.pcrs, hex(0, 32)] })),
    ],
    ['with one PCR less than was quoted', 'inconsistent', withQuote((q) => ({ ...q, pcrs: q.pcrs.slice(0, -1) }))],
    [
      'whose values are cut otherwise (N20)',
      'inconsistent',
      withQuote((q) => ({ ...q, pcrs: q.pcrs.with(0, (q.pcrs[0] as string) + (q.pcrs[1] as string)).with(1, '') })),
    ],
    ['without a PCR (N19)', 'not_enough', { indices: [] }],
    [
      'with the quote of TDX for SEV-SNP',
      'inconsistent',
      { change: (e) => ({ ...e, vcek: undefined, td_quote: hclReport({ tee: 'tdx' }).tdQuote.toString('base64url') }) },
    ],
    ['with a VCEK for TDX', 'inconsistent', { tee: 'tdx', change: (e) => ({ ...e, vcek: e.td_quote }) }],
    ['of TDX without its quote', 'inconsistent', { tee: 'tdx', change: (e) => ({ ...e, td_quote: undefined }) }],
    ['of SEV-SNP without its VCEK', 'collateral_missing', { change: (e) => ({ ...e, vcek: undefined }) }],
    ['whose report comes from VMPL 1 (N8)', 'not_allowed', { report: { vmpl: 1 } }],
    ['whose guest allows debugging (N8)', 'debug', { report: { policy: 0xb001fn } }],
    ['with two attestation keys', 'malformed', { runtime: runtimeData({ keys: [akJwk, akJwk] }) }],
    ['without an attestation key', 'malformed', { runtime: runtimeData({ keys: [ekJwk] }) }],
    ['without keys', 'malformed', { runtime: runtimeData({ keys: {} }) }],
    [
      'whose attestation key decrypts',
      'malformed',
      { runtime: runtimeData({ keys: [{ ...akJwk, key_ops: ['encrypt'] }] }) },
    ],
    ['whose attestation key is elliptic', 'malformed', { runtime: runtimeData({ keys: [{ ...akJwk, kty: 'EC' }] }) }],
    [
      'whose attestation key has 1024 bits',
      'malformed',
      { runtime: runtimeData({ keys: [jwkOf(small, 'HCLAkPub', 'sign')] }), signer: small },
    ],
    [
      'without a vTPM',
      'malformed',
      { runtime: runtimeData({ 'vm-configuration': { ...machine, 'tpm-enabled': false } }) },
    ],
    [
      'whose machine has no id',
      'malformed',
      { runtime: runtimeData({ 'vm-configuration': { ...machine, vmUniqueId: 'x' } }) },
    ],
    ['without a configuration', 'malformed', { runtime: runtimeData({ 'vm-configuration': undefined }) }],
    ['with 32 bytes of user data', 'malformed', { runtime: runtimeData({ 'user-data': hex(0, 32) }) }],
    ['with user data that are no hex', 'malformed', { runtime: runtimeData({ 'user-data': 'x'.repeat(128) }) }],
    [
      'whose runtime data have a member twice (N18)',
      'malformed',
      { runtime: `{"user-data":"","user-data":"",${JSON.stringify(runtimeData()).slice(1)}` },
    ],
    ['whose runtime data are no JSON', 'malformed', { runtime: 'keys' }],
    ['with another magic', 'malformed', { patch: [[0, 1]] }],
    ['of HCL version 3', 'unsupported', { patch: [[4, 3]] }],
    ['with another size', 'malformed', { patch: [[8, 2600]] }],
    ['of another request', 'malformed', { patch: [[12, 1]] }],
    ['with a status', 'malformed', { patch: [[16, 1]] }],
    ['with a reserved byte', 'malformed', { patch: [[28, 1]] }],
    ['with another data size', 'malformed', { patch: [[1216, 21]] }],
    ['of another data version', 'unsupported', { patch: [[1220, 2]] }],
    ['of other hardware', 'unsupported', { patch: [[1224, 3]] }],
    ['of another hash', 'unsupported', { patch: [[1228, 4]] }],
    ['with runtime data of 4 GiB (N35)', 'malformed', { patch: [[1232, 0xffff_ffff]] }],
    ['with bytes after the runtime data', 'malformed', { tail: Buffer.of(1) }],
    ['of 20 kB', 'malformed', { tail: Buffer.alloc(20_000) }],
    ['of version 3', 'unsupported', { change: (e) => ({ ...e, version: 3 }) }],
    ['with a member that nobody knows', 'malformed', { change: (e) => ({ ...e, extra: 1 }) }],
    ['with a member of its quote that nobody knows', 'malformed', withQuote((q) => ({ ...q, extra: 1 }))],
    ['without a quote', 'malformed', { change: (e) => ({ ...e, tpm_quote: undefined }) }],
    ['whose message is no hex', 'malformed', withQuote((q) => ({ ...q, message: 'xx' }))],
    ['whose PCRs are no list', 'malformed', withQuote((q) => ({ ...q, pcrs: {} }))],
    ['with 33 PCRs', 'malformed', withQuote((q) => ({ ...q, pcrs: Array(33).fill(hex(0, 32)) }))],
    ['whose report is no base64', 'malformed', { change: (e) => ({ ...e, hcl_report: `${e.hcl_report}*` }) }],
    ['whose legacy bytes are above 255', 'malformed', { change: (e) => ({ ...legacyEvidence(e), report: [256] }) }],
    ['whose legacy VCEK is no PEM', 'malformed', { change: (e) => ({ ...legacyEvidence(e), vcek: 'x' }) }],
    ['whose legacy VCEK is missing', 'malformed', { change: (e) => ({ ...legacyEvidence(e), vcek: undefined }) }],
  ]
  for (const [what, code, options] of links) {
    test(`${what} is refused`, () => refuses(code, azureCvmEvidence(options)))
  }

  test('is refused where nobody trusts its hardware', async () => {
    const { snp, tdx } = AZURE_CVM_TRUST
    await refuses('untrusted', azureCvmEvidence(), { trust: { tdx } })
    await refuses('untrusted', azureCvmEvidence({ tee: 'tdx' }), { trust: { snp } })
    await refuses('untrusted', azureCvmEvidence(), { trust: { snp: {} } })
  })

  const sweep = (tee: 'sev-snp' | 'tdx', member: 'hcl_report' | 'message' | 'signature' | 'pcrs' | 'td_quote') => {
    const evidence: Evidence = JSON.parse(azureCvmEvidence({ tee }).toString())
    const verifier = azureCvmVerifier(AZURE_CVM_TRUST)
    const verify = (bytes: Uint8Array) =>
      verifier.authenticate(bytes, { now: AZURE_CVM_NOW, expected: { kind: 'data', data: NONCE } })
    const { tpm_quote: quote, hcl_report: hcl, td_quote: tdQuote = '' } = evidence
    const [bytes, rebuild] = {
      hcl_report: [
        Buffer.from(hcl, 'base64url'),
        (b: Buffer) => ({ ...evidence, hcl_report: b.toString('base64url') }),
      ],
      td_quote: [
        Buffer.from(tdQuote, 'base64url'),
        (b: Buffer) => ({ ...evidence, td_quote: b.toString('base64url') }),
      ],
      message: [
        Buffer.from(quote.message, 'hex'),
        (b: Buffer) => ({ ...evidence, tpm_quote: { ...quote, message: b.toString('hex') } }),
      ],
      signature: [
        Buffer.from(quote.signature, 'hex'),
        (b: Buffer) => ({ ...evidence, tpm_quote: { ...quote, signature: b.toString('hex') } }),
      ],
      pcrs: [
        Buffer.from(quote.pcrs.join(''), 'hex'),
        (b: Buffer) => ({
          ...evidence,
          tpm_quote: { ...quote, pcrs: quote.pcrs.map((_, at) => b.subarray(at * 32, at * 32 + 32).toString('hex')) },
        }),
      ],
    }[member] as [Buffer, (bytes: Buffer) => object]
    const refused = (part: Buffer, what: string) =>
      assertRefused(verify, Buffer.from(JSON.stringify(rebuild(part))), what)
    return { bytes, refused }
  }
  const parts: readonly (readonly ['sev-snp' | 'tdx', Parameters<typeof sweep>[1], number])[] = [
    ['sev-snp', 'hcl_report', 3],
    ['sev-snp', 'message', 1],
    ['sev-snp', 'signature', 1],
    ['sev-snp', 'pcrs', 1],
    ['tdx', 'hcl_report', 3],
    ['tdx', 'td_quote', 7],
  ]
  for (const [tee, member, step] of parts) {
    test(`no flipped bit of ${member} on ${tee} is accepted (section 3.1)`, async () => {
      const { bytes, refused } = sweep(tee, member)
      for (let at = 0; at < bytes.length; at += step) {
        // The TD report there is for its own machine; the quote stands for it, and is looked at in its place.
        if (member === 'hcl_report' && tee === 'tdx' && at >= 32 && at < 1216) continue
        const flipped = Buffer.from(bytes)
        flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
        await refused(flipped, `bit ${at % 8} of byte ${at}`)
      }
    })
    test(`${member} on ${tee} cut short or made longer is refused`, async () => {
      const { bytes, refused } = sweep(tee, member)
      // Behind its runtime data an HCL report is padded.
      const end = member === 'hcl_report' ? hclReport({ tee, tail: Buffer.alloc(0) }).hcl.length : bytes.length
      for (let length = 0; length < end; length += 13) await refused(bytes.subarray(0, length), `cut at ${length}`)
      // Collectors pad quotes of TDX, and pass on what is behind them.
      if (member !== 'pcrs' && member !== 'td_quote') await refused(Buffer.concat([bytes, Buffer.of(1)]), 'a byte more')
    })
  }

  test('random JSON and bytes are refused with a code (property)', () =>
    fc.assert(
      fc.asyncProperty(fc.oneof(fc.json().map(Buffer.from), fc.uint8Array()), (bytes) =>
        assertRefused(attest, bytes, 'random'),
      ),
    ))
})

describe('the policy for confidential VMs of Azure', () => {
  const pcr7 = { 'sha256:7': Buffer.from(PCRS['sha256:7'] as Uint8Array).toString('hex') }
  const passes: readonly JsonObject[] = [
    { pcrs: pcr7, requireSecureBoot: true, vmIds: [VM_ID] },
    { tees: ['sev-snp'], snp: { measurements: hex(0x4d, 48), minimumTcb: { Milan: { snp: 24 } } } },
  ]
  for (const policy of passes) {
    test(`${JSON.stringify(policy).slice(0, 60)} passes`, async () => {
      await attest(azureCvmEvidence(), { policy })
    })
  }
  const noSecureBoot = { 'secure-boot': false, 'tpm-enabled': true, vmUniqueId: VM_ID }
  const rows: readonly (readonly [string, JsonObject, AzureCvmOptions?])[] = [
    ['measurement_mismatch', { pcrs: { 'sha256:7': hex(1, 32) } }],
    ['measurement_mismatch', { pcrs: pcr7 }, { indices: [0, 1] }],
    ['measurement_mismatch', { snp: { measurements: hex(1, 48) } }],
    ['measurement_mismatch', { tdx: { mrtd: hex(1, 48) } }, { tee: 'tdx' }],
    ['tcb_out_of_date', { snp: { minimumTcb: { Milan: { snp: 25 } } } }],
    ['not_allowed', { tees: ['tdx'] }],
    ['not_allowed', { tees: ['sev-snp'] }, { tee: 'tdx' }],
    ['not_allowed', { vmIds: ['00000000-0000-0000-0000-000000000000'] }],
    ['not_allowed', { requireSecureBoot: true }, { runtime: runtimeData({ 'vm-configuration': noSecureBoot }) }],
  ]
  for (const [code, policy, options] of rows) {
    test(`${JSON.stringify(policy).slice(0, 60)} refuses as ${code}`, () =>
      refuses(code, azureCvmEvidence(options), { policy }))
  }
  for (const policy of [
    { tee: 'tdx' },
    { tees: ['sgx'] },
    { snp: [] },
    { snp: { measurement: '' } },
    { tdx: { mrtd: 'x' } },
    { tdx: 1 },
    { pcrs: { 7: hex(1, 32) } },
  ] as readonly JsonObject[]) {
    test(`${JSON.stringify(policy).slice(0, 60)} is no policy`, () => {
      assert.throws(() => readAzureCvmPolicy(policy), { code: 'attestation.policy_malformed' })
    })
  }
})
