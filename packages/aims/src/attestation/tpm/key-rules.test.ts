import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { EK_ATTRIBUTES, HASH_ID, type HashName, softKey, u16, u32 } from '../../../../../test/support/soft-tpm.ts'
import { checkEndorsementKey } from './key-rules.ts'
import { ATTRIBUTE, parseTpmPublic } from './public-area.ts'

const ENDORSEMENT = 0x4000_000b
const NV_INDEX = { sha256: 0x01c0_7f01, sha384: 0x01c0_7f02, sha512: 0x01c0_7f03 } as const

/** TPM2_PolicySecret of the endorsement hierarchy. */
function policyA(hash: HashName, size: number): Buffer {
  const inner = createHash(hash).update(Buffer.alloc(size)).update(u32(0x151)).update(u32(ENDORSEMENT)).digest()
  return createHash(hash).update(inner).digest()
}

/** TPM2_PolicyOR of that and of a policy in an NV index of the platform. */
function policyB(hash: keyof typeof NV_INDEX, size: number): Buffer {
  const a = policyA(hash, size)
  const area = Buffer.concat([u32(NV_INDEX[hash]), u16(HASH_ID[hash]), u32(0x220f_1008), u16(size), a, u16(size + 2)])
  const name = Buffer.concat([u16(HASH_ID[hash]), createHash(hash).update(area).digest()])
  const c = createHash(hash).update(Buffer.alloc(size)).update(u32(0x192)).update(name).digest()
  return createHash(hash).update(Buffer.alloc(size)).update(u32(0x171)).update(a).update(c).digest()
}

test('the policies of endorsement keys are what their templates say, computed by the rules of policies', () => {
  const high = EK_ATTRIBUTES | ATTRIBUTE.userWithAuth
  for (const [policy, attributes] of [
    [policyA('sha256', 32), EK_ATTRIBUTES],
    [policyB('sha256', 32), high],
    [policyB('sha384', 48), high],
    [policyB('sha512', 64), high],
  ] as const) {
    const key = softKey({ kind: 'P-256', attributes, symmetric: 128, policy: policy.toString('hex') })
    checkEndorsementKey(parseTpmPublic(key.area))
  }
})

test('a public area with its size before it is the same key', () => {
  const { area, name } = softKey({ attributes: EK_ATTRIBUTES })
  assert.deepEqual(parseTpmPublic(Buffer.concat([u16(area.length), area])).name, name)
})
