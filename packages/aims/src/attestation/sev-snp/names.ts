import type { SnpProduct } from './product.ts'
import { formatTcb, type SnpTcb } from './tcb.ts'

/** The names under which the verifier of SEV-SNP asks for what AMD's key distribution service (KDS) answers. */
export const snpCollateralNames = {
  /** `/vcek/v1/{product}/cert_chain`, PEM: ASK and ARK. */
  chain: (product: SnpProduct): string => `amd/${product.toLowerCase()}/cert_chain`,
  /** `/vlek/v1/{product}/cert_chain`, PEM: ASVK and ARK. */
  vlekChain: (product: SnpProduct): string => `amd/${product.toLowerCase()}/vlek/cert_chain`,
  /** `/vcek/v1/{product}/{hwid}?blSPL=...`, DER or PEM. */
  vcek: (product: SnpProduct, hwid: string, tcb: SnpTcb): string =>
    `amd/${product.toLowerCase()}/vcek/${hwid}/${formatTcb(tcb)}`,
  /** The VLEK that a cloud provider was given, DER or PEM. KDS does not hand it out to others. */
  vlek: (product: SnpProduct, tcb: SnpTcb): string => `amd/${product.toLowerCase()}/vlek/${formatTcb(tcb)}`,
  /** `/vcek/v1/{product}/crl`, DER: what the ARK has revoked. */
  crl: (product: SnpProduct): string => `amd/${product.toLowerCase()}/crl`,
} as const
