import assert from 'node:assert/strict'
import type { LocalSigner } from '../../packages/aims/src/base/keys.ts'

/** Header or claims: a value to encode, or JSON text exactly as it shall stand in the token. */
export type Part = string | { readonly [member: string]: unknown }

/** Signs whatever it is given, sound or not: for tokens that no issuer of ours would make. */
export function forge(header: Part, claims: Part, signer: LocalSigner): string {
  const input = `${encode(header)}.${encode(claims)}`
  return `${input}.${Buffer.from(signer.sign(Buffer.from(input))).toString('base64url')}`
}

function encode(part: Part): string {
  return Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')
}

/** Asserts that `action` is refused with exactly this code, and that the message tells nothing of `secrets`. */
export function assertRefused(action: () => unknown, code: string, secrets: readonly string[] = []): void {
  assert.throws(action, (error: unknown) => {
    assert.ok(error instanceof Error)
    assert.equal((error as { code?: unknown }).code, code, error.stack)
    for (const secret of secrets) assert.ok(!error.message.includes(secret), 'the message quotes its input')
    return true
  })
}
