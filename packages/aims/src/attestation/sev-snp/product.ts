import { AimsError } from '../../base/errors.ts'

/** Product lines whose reports are read, as AMD's key distribution service names them. */
export const SNP_PRODUCTS = ['Milan', 'Genoa', 'Turin'] as const

/** A product line. Genoa includes Bergamo and Siena. */
export type SnpProduct = (typeof SNP_PRODUCTS)[number]

/**
 * The product line of a processor.
 *
 * @param family - As CPUID computes it, extended family included.
 * @param model - As CPUID computes it, extended model included.
 * @throws {@link AimsError} `attestation.unsupported`
 * @see AMD 56860 (SEV-SNP ABI), ATTESTATION_REPORT; AMD 57230 (VCEK), product names
 */
export function snpProduct(family: number, model: number): SnpProduct {
  for (const [product, ofFamily, from, to] of MODELS) {
    if (family === ofFamily && model >= from && model <= to) return product
  }
  throw new AimsError('attestation.unsupported', 'the processor is of no product line that is known here')
}

const MODELS: readonly (readonly [SnpProduct, number, number, number])[] = [
  ['Milan', 0x19, 0x00, 0x0f],
  ['Genoa', 0x19, 0x10, 0x1f],
  ['Genoa', 0x19, 0xa0, 0xaf],
  ['Turin', 0x1a, 0x00, 0x11],
]
