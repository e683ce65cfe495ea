/** One bit of a field of 8 bytes, little-endian: bit 0 is the lowest of the first byte. */
export function bit(field: Uint8Array, number: number): boolean {
  return (((field[number >> 3] as number) >> (number & 7)) & 1) === 1
}

/** Bits of TDATTRIBUTES. 1 to 7 are reserved for what makes a guest untrusted. */
export const TD = {
  debug: 0,
  septVeDisable: 28,
  migratable: 29,
  protectionKeys: 30,
  keyLocker: 31,
  perfmon: 63,
} as const

/** The numbers of the bits of a field that are set. */
export function setBits(field: Uint8Array): readonly number[] {
  return Array.from({ length: field.length * 8 }, (_, number) => number).filter((number) => bit(field, number))
}

// XFAM as the TDX module allows it: x87 and SSE always on; beyond these only what it supports.
const XFAM_FIXED_1 = 0x3
const XFAM_FIXED_0 = 0x6_dbe7

/** Whether the extended features of a guest are ones a TDX module can have given it. */
export function isPossibleXfam(xfam: Uint8Array): boolean {
  const bits = setBits(xfam)
  const value = bits.reduce((sum, number) => sum + 2 ** number, 0)
  return bits.every((number) => number < 19) && (value & XFAM_FIXED_1) === XFAM_FIXED_1 && (value & ~XFAM_FIXED_0) === 0
}
