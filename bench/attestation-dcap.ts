// Goal: verifying a TDX quote with all its collateral costs less than 3 times the signatures it must check. These are 9,
// all P-256, by 5 keys: the root signs the CA, its list and the TCB signer; the CA signs the PCK and its list; the TCB
// signer signs TCB info and identity; the PCK signs the report of the quoting enclave; the attestation key the quote.
import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { attestEvidence, collateralOf, tdxVerifier } from 'aims/attestation'
import { DCAP_NOW, makeCollateralFiles, makeDcapPki, makeQuote } from '../test/support/dcap-pki.ts'
import { newKey, signWith } from '../test/support/vendor-pki.ts'
import { report, roundRobin } from './harness.ts'

// Signatures by each key.
const KEYS = [3, 2, 2, 1, 1]
const SIGNATURES = KEYS.reduce((sum, count) => sum + count)

const pki = makeDcapPki()
const quote = makeQuote('v5-td15', pki)
const files = makeCollateralFiles('tdx', pki)
const verifier = tdxVerifier({ collateral: collateralOf(files), roots: new Set([pki.root.fingerprint]) })
const policy = verifier.readPolicy({})
const context = { now: DCAP_NOW, expected: { kind: 'unchecked' } } as const

const raw = KEYS.map((count) => {
  const key = newKey()
  const data = Buffer.alloc(1000, 7)
  const pem = key.publicKey.export({ type: 'spki', format: 'pem' }) as string
  return { pem, data, signatures: Array.from({ length: count }, () => signWith(key, data)) }
})
const check = (key: KeyObject, data: Uint8Array, signature: Uint8Array) => {
  if (!verify('sha256', data, key, signature)) throw new Error('a signature does not verify')
}

report(
  `TDX quote v5 with TD report 1.5 and full collateral: ${SIGNATURES} signatures`,
  await roundRobin([
    {
      name: `${SIGNATURES} signatures by ${KEYS.length} keys`,
      run(times) {
        for (let i = 0; i < times; i += 1) {
          for (const { pem, data, signatures } of raw) {
            const key = createPublicKey(pem)
            for (const signature of signatures) check(key, data, signature)
          }
        }
      },
    },
    {
      name: 'TDX quote verified',
      async run(times) {
        for (let i = 0; i < times; i += 1) await attestEvidence(verifier, quote, context, policy)
      },
    },
  ]),
  [{ id: 'attestation TDX', case: 'TDX quote verified', atMost: 3 }],
)
