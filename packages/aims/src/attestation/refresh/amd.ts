import { parsePem } from '../../base/pem.ts'
import { snpCollateralNames } from '../sev-snp/names.ts'
import type { SnpProduct } from '../sev-snp/product.ts'
import type { SnpTcb } from '../sev-snp/tcb.ts'
import { parseVendorCertificate } from '../x509/vendor-certificate.ts'
import { refuseOlderList } from './lists.ts'
import type { RefreshTask } from './refresh.ts'

/** A processor at one state of its firmware. */
export interface SnpChip {
  readonly product: SnpProduct
  /** Hex: 64 bytes, on Turin 8. */
  readonly chipId: string
  /** As the report names it. */
  readonly tcb: SnpTcb
}

/** What of AMD's key distribution service is wanted. */
export interface AmdRefresh {
  readonly products: readonly SnpProduct[]
  readonly chips?: readonly SnpChip[]
  /** Default `https://kdsintf.amd.com`. */
  readonly service?: string
}

/** The host of AMD. */
export const AMD_HOST = 'kdsintf.amd.com'

/** The parts in the order in which the service documents them. */
const LEVELS: readonly (readonly [keyof SnpTcb, string])[] = [
  ['fmc', 'fmcSPL'],
  ['bootloader', 'blSPL'],
  ['tee', 'teeSPL'],
  ['snp', 'snpSPL'],
  ['microcode', 'ucodeSPL'],
]

/**
 * What must be fetched for reports of these products and chips: the chains of VCEKs and VLEKs, the revocation list, and
 * the certificate (VCEK) of each chip at its TCB. AMD limits requests: chains and VCEKs that are at hand are not asked for
 * again, as they never change.
 *
 * @see AMD 57230, VCEK Certificate and KDS Interface Specification
 */
export function amdTasks({
  products,
  chips = [],
  service = `https://${AMD_HOST}`,
}: AmdRefresh): readonly RefreshTask<'amd'>[] {
  return [
    ...products.flatMap((product): readonly RefreshTask<'amd'>[] => [
      chain(`${service}/vcek/v1/${product}/cert_chain`, snpCollateralNames.chain(product)),
      chain(`${service}/vlek/v1/${product}/cert_chain`, snpCollateralNames.vlekChain(product)),
      {
        purpose: 'amd',
        url: `${service}/vcek/v1/${product}/crl`,
        name: snpCollateralNames.crl(product),
        read: (body) => [
          { name: snpCollateralNames.crl(product), bytes: body, check: (present) => refuseOlderList(body, present) },
        ],
      },
    ]),
    ...chips.map((chip) => vcek(service, chip)),
  ]
}

function chain(url: string, name: string): RefreshTask<'amd'> {
  const check = (body: Uint8Array): void => {
    for (const { bytes } of parsePem(Buffer.from(body).toString('latin1'))) parseVendorCertificate(bytes)
  }
  return { purpose: 'amd', url, name, isFixed: true, read: (body) => [{ name, bytes: body, check: () => check(body) }] }
}

function vcek(service: string, { product, chipId, tcb }: SnpChip): RefreshTask<'amd'> {
  if (!/^(?:[0-9a-f]{16}|[0-9a-f]{128})$/.test(chipId)) throw new TypeError('a chip id is hex of 64 or 8 bytes')
  const levels = LEVELS.flatMap(([part, parameter]) => {
    const level = tcb[part]
    return level === undefined ? [] : [`${parameter}=${String(level).padStart(2, '0')}`]
  })
  const name = snpCollateralNames.vcek(product, chipId, tcb)
  return {
    purpose: 'amd',
    url: `${service}/vcek/v1/${product}/${chipId}?${levels.join('&')}`,
    name,
    isFixed: true,
    read: (body) => [{ name, bytes: body, check: () => void parseVendorCertificate(body) }],
  }
}
