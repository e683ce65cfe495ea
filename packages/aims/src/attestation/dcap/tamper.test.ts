import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  DCAP_NOW,
  makeCollateralFiles,
  makeDcapPki,
  makeQuote,
  type QuoteForm,
  teeOf,
} from '../../../../../test/support/dcap-pki.ts'
import { AimsError } from '../../base/errors.ts'
import { collateralOf } from '../collateral.ts'
import { authenticateEvidence } from '../evidence.ts'
import { parseQuote } from './quote.ts'
import { sgxVerifier } from './sgx.ts'
import { tdxVerifier } from './tdx.ts'

const pki = makeDcapPki()
const roots = new Set([pki.root.fingerprint])
const context = { now: DCAP_NOW, expected: { kind: 'unchecked' } } as const

// The code of the refusal, `undefined` for acceptance; anything but a refusal of attestation is a defect.
async function judge(
  tee: 'sgx' | 'tdx',
  evidence: Uint8Array,
  files: Readonly<Record<string, Uint8Array>>,
): Promise<string | undefined> {
  const trust = { collateral: collateralOf(files), roots, acceptUnratedTcb: Object.keys(files).length === 0 }
  try {
    if (tee === 'sgx') await authenticateEvidence(sgxVerifier(trust), evidence, context)
    else await authenticateEvidence(tdxVerifier(trust), evidence, context)
    return undefined
  } catch (error) {
    assert.ok(AimsError.is(error) && error.code.startsWith('attestation.'), String(error))
    return error.code
  }
}

const flipped = (bytes: Uint8Array, at: number, bit: number) =>
  Buffer.from(bytes).fill((bytes[at] as number) ^ (1 << bit), at, at + 1)

describe('a quote in which one bit is changed', () => {
  for (const form of ['v3', 'v4', 'v5-sgx', 'v5-td15'] satisfies readonly QuoteForm[]) {
    test(`${form} is refused at every byte that counts, unsigned ones too (N38)`, async () => {
      const padding = 16
      const quote = makeQuote(form, pki, { padding: Buffer.alloc(padding) })
      const files = makeCollateralFiles(teeOf(form), pki)
      assert.equal(await judge(teeOf(form), quote, files), undefined)
      for (let at = 0; at < quote.length - padding; at += 1) {
        // Two line ends in the PEM differ by more than one bit, so no spelling of it is another one.
        assert.ok(await judge(teeOf(form), flipped(quote, at, at % 8), files), `byte ${at}`)
      }
    })

    test(`${form} is refused when it is cut anywhere (N35)`, async () => {
      const quote = makeQuote(form, pki)
      const files = makeCollateralFiles(teeOf(form), pki)
      for (let length = 0; length < quote.length; length += 1) {
        assert.ok(await judge(teeOf(form), quote.subarray(0, length), files), `${length} bytes`)
      }
    })
  }

  test('every bit of header and body counts', async () => {
    const quote = makeQuote('v5-td15', pki)
    assert.equal(await judge('tdx', quote, {}), undefined)
    for (let at = 0; at < parseQuote(quote).signed.length; at += 1) {
      for (let bit = 0; bit < 8; bit += 1) assert.ok(await judge('tdx', flipped(quote, at, bit), {}), `${at}.${bit}`)
    }
  })
})

test('collateral in which one bit is changed is refused (N18, N39)', async () => {
  const quote = makeQuote('v4', pki)
  const files = makeCollateralFiles('tdx', pki)
  // Chains are PEM: what counts in them is looked at certificate by certificate elsewhere.
  for (const [name, bytes] of Object.entries(files).filter(([one]) => !one.endsWith('.pem'))) {
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = flipped(bytes, at, at % 8)
      const isSpelling = isHexCase(bytes, at, at % 8)
      const code = await judge('tdx', quote, { ...files, [name]: changed })
      if (!isSpelling) assert.ok(code, `${name} byte ${at}`)
    }
  }

  // The signature of a statement is hex: upper and lower case say the same.
  function isHexCase(bytes: Uint8Array, at: number, bit: number): boolean {
    const letter = String.fromCharCode(bytes[at] as number)
    return bit === 5 && at > bytes.length - 132 && /[a-f]/.test(letter)
  }
})

describe('lengths that say too much (N35)', () => {
  for (const [title, form, at] of [
    ['the signature data', 'v3', 432],
    ['the outer certification data', 'v4', 48 + 584 + 4 + 128 + 2],
  ] as const) {
    test(`${title} of 4 GB are refused at once`, async () => {
      const quote = makeQuote(form, pki)
      quote.writeUInt32LE(0xffff_ffff, at)
      assert.equal(await judge(teeOf(form), quote, {}), 'attestation.malformed')
    })
  }
})

test('bytes of any kind give a refusal and nothing else', async () => {
  const start = makeQuote('v5-td15', pki)
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 2000 }),
      fc.nat(start.length),
      fc.boolean(),
      async (bytes, at, behind) => {
        const evidence = behind ? Buffer.concat([start.subarray(0, at), bytes]) : bytes
        const isWhole = behind && (at === start.length || Buffer.from(evidence).subarray(0, start.length).equals(start))
        for (const tee of ['sgx', 'tdx'] as const) {
          const code = await judge(tee, evidence, makeFiles)
          if (!(isWhole && tee === 'tdx')) assert.ok(code)
        }
      },
    ),
    { numRuns: 300 },
  )
})
const makeFiles = makeCollateralFiles('tdx', pki)

test('collateral of any kind gives a refusal and nothing else', async () => {
  const quote = makeQuote('v4', pki)
  const files = makeCollateralFiles('tdx', pki)
  const names = Object.keys(files)
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...names),
      fc.oneof(
        fc.uint8Array({ maxLength: 500 }),
        fc.json().map((text) => Buffer.from(text)),
      ),
      async (name, bytes) => {
        assert.ok(await judge('tdx', quote, { ...files, [name]: bytes }))
      },
    ),
    { numRuns: 300 },
  )
})
