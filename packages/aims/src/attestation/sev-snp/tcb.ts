import { AimsError } from '../../base/errors.ts'
import type { SnpProduct } from './product.ts'

/** Security patch levels of the firmware and microcode of a processor. Each from 0 to 255; higher is newer. */
export interface SnpTcb {
  readonly bootloader: number
  readonly tee: number
  readonly snp: number
  readonly microcode: number
  /** Turin only. */
  readonly fmc?: number
}

/** The parts of a TCB of any product, in the order of names of collateral. */
const TCB_PARTS = ['fmc', 'bootloader', 'tee', 'snp', 'microcode'] as const

/** Where the parts stand in the 8 bytes of TCB_VERSION; the bytes between them are reserved. */
const OFFSETS: { readonly [product in SnpProduct]: { readonly [part in keyof SnpTcb]: number } } = {
  Milan: { bootloader: 0, tee: 1, snp: 6, microcode: 7 },
  Genoa: { bootloader: 0, tee: 1, snp: 6, microcode: 7 },
  Turin: { fmc: 0, bootloader: 1, tee: 2, snp: 3, microcode: 7 },
}

/**
 * Reads a TCB_VERSION as the product lays it out.
 *
 * @throws {@link AimsError} `attestation.malformed` when a reserved byte is set: it is of another layout
 * @see AMD 56860 (SEV-SNP ABI), TCB_VERSION
 */
export function readTcb(bytes: Uint8Array, product: SnpProduct): SnpTcb {
  const offsets = OFFSETS[product]
  const used = new Set(Object.values(offsets))
  if (bytes.length !== 8 || bytes.some((byte, at) => byte !== 0 && !used.has(at))) {
    throw new AimsError('attestation.malformed', 'a TCB version has not the layout of its product')
  }
  const part = (at: number): number => bytes[at] as number
  const { fmc, bootloader, tee, snp, microcode } = offsets
  return {
    bootloader: part(bootloader),
    tee: part(tee),
    snp: part(snp),
    microcode: part(microcode),
    ...(fmc === undefined ? {} : { fmc: part(fmc) }),
  }
}

/** Whether no part of `a` is above that of `b`. Parts that `a` does not have count as 0. */
export function isTcbAtMost(a: Partial<SnpTcb>, b: SnpTcb): boolean {
  return TCB_PARTS.every((part) => (a[part] ?? 0) <= (b[part] ?? 0))
}

/** Whether all parts are the same. */
export function isSameTcb(a: SnpTcb, b: SnpTcb): boolean {
  return TCB_PARTS.every((part) => a[part] === b[part])
}

/** E.g. `bl04-tee00-snp24-ucode219`; Turin begins with `fmc01-`. */
export function formatTcb({ fmc, bootloader, tee, snp, microcode }: SnpTcb): string {
  const parts: readonly (readonly [string, number])[] = [
    ...(fmc === undefined ? [] : [['fmc', fmc] as const]),
    ['bl', bootloader],
    ['tee', tee],
    ['snp', snp],
    ['ucode', microcode],
  ]
  return parts.map(([name, value]) => `${name}${String(value).padStart(2, '0')}`).join('-')
}
