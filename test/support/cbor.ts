// CBOR as it should be and as it should not: heads can be written longer than they need to be.

/** Heads in their shortest form, or `bytes` long (1, 2, 4 or 8). */
export function cborHead(major: number, value: number | bigint, bytes?: number): Buffer {
  const wide = BigInt(value)
  const size = bytes ?? (wide < 24n ? 0 : wide < 256n ? 1 : wide < 65_536n ? 2 : wide < 4_294_967_296n ? 4 : 8)
  if (size === 0) return Buffer.of((major << 5) | Number(wide))
  const info = { 1: 24, 2: 25, 4: 26, 8: 27 }[size] as number
  return Buffer.concat([Buffer.of((major << 5) | info), Buffer.from(wide.toString(16).padStart(size * 2, '0'), 'hex')])
}

export type CborInput =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly CborInput[]
  | ReadonlyMap<string | number | bigint, CborInput>
  /** Bytes that are CBOR already. */
  | { readonly raw: Uint8Array }

export function encodeCbor(value: CborInput): Buffer {
  if (value === null) return Buffer.of(0xf6)
  if (typeof value === 'boolean') return Buffer.of(value ? 0xf5 : 0xf4)
  if (typeof value === 'number' || typeof value === 'bigint') {
    const wide = BigInt(value)
    return wide < 0n ? cborHead(1, -1n - wide) : cborHead(0, wide)
  }
  if (typeof value === 'string') {
    const utf8 = Buffer.from(value)
    return Buffer.concat([cborHead(3, utf8.length), utf8])
  }
  if (value instanceof Uint8Array) return Buffer.concat([cborHead(2, value.length), value])
  if (isList(value)) return Buffer.concat([cborHead(4, value.length), ...value.map(encodeCbor)])
  if ('raw' in value) return Buffer.from(value.raw)
  return Buffer.concat([
    cborHead(5, value.size),
    ...[...value].flatMap(([key, one]) => [encodeCbor(key), encodeCbor(one)]),
  ])
}

function isList(value: CborInput): value is readonly CborInput[] {
  return Array.isArray(value)
}
