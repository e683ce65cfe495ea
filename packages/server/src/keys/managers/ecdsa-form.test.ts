import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AimsError } from 'aims/base'
import fc from 'fast-check'
import { ecdsaToDer } from '../../../../aims/src/base/algorithms.ts'
import { loadPackage } from './cloud.ts'
import { jwsSignature } from './ecdsa-form.ts'

const HALVES = { ES256: 32, ES384: 48 } as const

for (const alg of ['ES256', 'ES384'] as const) {
  const half = HALVES[alg]

  test(`${alg}: every r and s comes back out of DER`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2 * half, maxLength: 2 * half }), (raw) => {
        assert.deepEqual(jwsSignature(alg, ecdsaToDer(raw, half)), Buffer.from(raw))
      }),
    )
  })

  test(`${alg}: bytes are one signature in one form, or refused`, () => {
    const near = fc.tuple(
      fc.uint8Array({ minLength: 0, maxLength: 60 }),
      fc.uint8Array({ minLength: 0, maxLength: 60 }),
    )
    const shaped = near.map(([r, s]) =>
      Buffer.concat([Buffer.of(0x30, r.length + s.length + 4, 2, r.length), r, Buffer.of(2, s.length), s]),
    )
    fc.assert(
      fc.property(fc.oneof(shaped, fc.uint8Array({ maxLength: 120 })), (der) => {
        try {
          assert.deepEqual(ecdsaToDer(jwsSignature(alg, der), half), Buffer.from(der))
        } catch (error) {
          assert.ok(AimsError.is(error) && error.code === 'operation.key_manager_invalid')
        }
      }),
    )
  })
}

const good = ecdsaToDer(Buffer.alloc(64, 0x11), 32)
for (const [what, der] of [
  ['nothing', Buffer.of()],
  ['another tag', Buffer.concat([Buffer.of(0x31), good.subarray(1)])],
  ['a byte too many', Buffer.concat([good, Buffer.of(0)])],
  ['a byte too few', good.subarray(0, -1)],
  ['a negative r', Buffer.from('300602018002010102', 'hex').subarray(0, 8)],
  ['an r that is not minimal', Buffer.from('3007020200010201', 'hex')],
  ['an r that is too long', ecdsaToDer(Buffer.alloc(96, 0x11), 48)],
] as const) {
  test(`a signature is refused: ${what}`, () => {
    assert.throws(() => jwsSignature('ES256', der), { code: 'operation.key_manager_invalid' })
  })
}

test('a package that is not installed is named', async () => {
  const missing = 'aims-package-that-is-not-there'
  await assert.rejects(
    loadPackage(missing, () => import(missing)),
    {
      code: 'operation.key_manager_unavailable',
      message: `${missing} cannot be loaded: install it`,
    },
  )
})
