import { DerReader } from '../../base/der.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { toHex } from '../packaging.ts'
import { COMMON_NAME, nameAttributes, type VendorCertificate } from '../x509/vendor-certificate.ts'
import { SNP_PRODUCTS, type SnpProduct } from './product.ts'
import type { SnpTcb } from './tcb.ts'

/** What the certificate of an endorsement key says about its processor. */
export interface SnpEndorsementKey {
  /** VCEK: one chip at one TCB. VLEK: any chip of one cloud provider, at one TCB. */
  readonly kind: 'VCEK' | 'VLEK'
  readonly product: SnpProduct
  readonly tcb: SnpTcb
  /** Of the chip, hex: 64 bytes, on Turin 8. VCEK only. */
  readonly hwid?: string
  /** Names the cloud provider, e.g. `CN=cc-us-east-2.amazonaws.com`. VLEK only. */
  readonly cspId?: string
}

const PREFIX = '1.3.6.1.4.1.3704.1'
const OID = {
  structVersion: `${PREFIX}.1`,
  productName: `${PREFIX}.2`,
  bootloader: `${PREFIX}.3.1`,
  tee: `${PREFIX}.3.2`,
  snp: `${PREFIX}.3.3`,
  microcode: `${PREFIX}.3.8`,
  fmc: `${PREFIX}.3.9`,
  hwid: `${PREFIX}.4`,
  cspId: `${PREFIX}.5`,
} as const
const RESERVED_LEVELS: readonly string[] = ['4', '5', '6', '7'].map((n) => `${PREFIX}.3.${n}`)
const IA5_STRING = 0x16
const KINDS: { readonly [commonName: string]: SnpEndorsementKey['kind'] } = { 'SEV-VCEK': 'VCEK', 'SEV-VLEK': 'VLEK' }

/** The common name of a certificate's subject, or `undefined` unless there is exactly one. */
export function commonNameOf({ subject }: VendorCertificate): string | undefined {
  const names = refuseAs('attestation.malformed', 'a name cannot be read', () => nameAttributes(subject, COMMON_NAME))
  return names.length === 1 ? names[0] : undefined
}

/** Whether a certificate is named as one of an endorsement key, and of which kind. */
export function endorsementKind(certificate: VendorCertificate): SnpEndorsementKey['kind'] | undefined {
  const name = commonNameOf(certificate) ?? ''
  return Object.hasOwn(KINDS, name) ? KINDS[name] : undefined
}

/**
 * Reads AMD's extensions of a VCEK or VLEK. Does not verify anything.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported`
 * @see AMD 57230 (VCEK Certificate and KDS Interface), section 3
 */
export function readEndorsementKey(certificate: VendorCertificate): SnpEndorsementKey {
  const kind = endorsementKind(certificate)
  if (kind === undefined) throw new AimsError('attestation.chain_invalid', 'the certificate is of no endorsement key')
  return refuseAs('attestation.malformed', 'the extensions of an endorsement key cannot be read', () => {
    const product = readProduct(certificate)
    const level = (oid: string): number => readLevel(certificate, oid)
    const isTurin = product === 'Turin'
    if (level(OID.structVersion) !== (isTurin ? 1 : 0) || certificate.extensions.has(OID.fmc) !== isTurin) {
      throw malformed('the structure is not the one of the product')
    }
    for (const oid of RESERVED_LEVELS) {
      if (certificate.extensions.has(oid) && level(oid) !== 0) throw malformed('a reserved patch level is not zero')
    }
    return {
      kind,
      product,
      tcb: {
        bootloader: level(OID.bootloader),
        tee: level(OID.tee),
        snp: level(OID.snp),
        microcode: level(OID.microcode),
        ...(isTurin ? { fmc: level(OID.fmc) } : {}),
      },
      ...readOwner(certificate, kind, isTurin ? 8 : 64),
    }
  })
}

function readProduct(certificate: VendorCertificate): SnpProduct {
  // With or without a stepping: Milan-B0, Turin.
  const name = readText(certificate, OID.productName)
  const product = SNP_PRODUCTS.find((one) => name === one || name.startsWith(`${one}-`))
  if (product === undefined) throw malformed('the product is not known')
  return product
}

function readOwner(
  certificate: VendorCertificate,
  kind: SnpEndorsementKey['kind'],
  size: number,
): Pick<SnpEndorsementKey, 'hwid' | 'cspId'> {
  const [wanted, other] = kind === 'VCEK' ? [OID.hwid, OID.cspId] : [OID.cspId, OID.hwid]
  if (!certificate.extensions.has(wanted) || certificate.extensions.has(other)) {
    throw malformed('the key belongs to a chip or to a provider, and says which')
  }
  if (kind === 'VLEK') return { cspId: readText(certificate, OID.cspId) }
  const raw = certificate.extensions.get(OID.hwid)?.value ?? new Uint8Array()
  const hwid = raw.length === size ? raw : readOctets(raw)
  if (hwid.length !== size) throw malformed('the id of a chip has another length on this product')
  return { hwid: toHex(hwid) }
}

// AMD writes the bare bytes; newer firmware may wrap them into an OCTET STRING.
function readOctets(value: Uint8Array): Uint8Array {
  const input = DerReader.of(value)
  const bytes = input.octetString()
  input.end()
  return bytes
}

function readLevel({ extensions }: VendorCertificate, oid: string): number {
  const input = DerReader.of(extensions.get(oid)?.value ?? new Uint8Array())
  const level = input.smallInteger()
  input.end()
  if (level > 255) throw malformed('a patch level is above 255')
  return level
}

function readText({ extensions }: VendorCertificate, oid: string): string {
  const input = DerReader.of(extensions.get(oid)?.value ?? new Uint8Array())
  const bytes = input.content(IA5_STRING)
  input.end()
  const text = Buffer.from(bytes).toString('latin1')
  if (!/^[\x20-\x7e]{1,256}$/.test(text)) throw malformed('a text is empty, too long or not printable')
  return text
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
