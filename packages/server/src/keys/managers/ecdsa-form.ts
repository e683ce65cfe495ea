import { invalid } from './cloud.ts'
import type { ManagedAlgorithm } from './key-manager.ts'
import { CURVES } from './signature.ts'

/**
 * Turns an ECDSA signature in DER into r and s side by side (JWS form). Short enough that all lengths are one byte: 72 bytes for
 * P-256, 104 for P-384.
 *
 * @throws {@link AimsError} `operation.key_manager_invalid`
 * @see RFC 3279 section 2.2.3; RFC 7518 section 3.4
 */
export function jwsSignature(alg: ManagedAlgorithm, der: Uint8Array): Buffer {
  const { half } = CURVES[alg]
  const bytes = Buffer.from(der)
  if (bytes[0] !== 0x30 || bytes[1] !== bytes.length - 2 || bytes.length > 0x7f + 2) throw malformed()
  const r = integerAt(bytes, 2)
  const s = integerAt(bytes, r.end)
  if (s.end !== bytes.length) throw malformed()
  return Buffer.concat([fixed(r.value, half), fixed(s.value, half)])
}

function integerAt(bytes: Buffer, at: number): { readonly value: Buffer; readonly end: number } {
  const length = bytes[at + 1] ?? 0
  const end = at + 2 + length
  const value = bytes.subarray(at + 2, end)
  const [first = 0x80, second = 0x80] = value
  const isMinimal = length === 1 || first !== 0 || second >= 0x80
  if (bytes[at] !== 0x02 || length === 0 || end > bytes.length || first >= 0x80 || !isMinimal) throw malformed()
  return { value: first === 0 ? value.subarray(1) : value, end }
}

function fixed(value: Buffer, half: number): Buffer {
  if (value.length > half) throw malformed()
  return Buffer.concat([Buffer.alloc(half - value.length), value])
}

function malformed(): Error {
  return invalid('a signature of another form')
}
