import { decodeUtf8 } from '../../base/bytes.ts'
import { DerReader, TAG } from '../../base/der.ts'
import { AimsError } from '../../base/errors.ts'
import { encodePem, parsePem } from '../../base/pem.ts'
import { type CollateralFile, type CollateralSource, collateralOf } from '../collateral.ts'
import { parseRevocationList } from '../x509/revocation.ts'
import {
  COMMON_NAME,
  nameAttributes,
  parseVendorCertificate,
  type VendorCertificate,
} from '../x509/vendor-certificate.ts'
import { snpCollateralNames } from './names.ts'
import { SNP_PRODUCTS } from './product.ts'
import { commonNameOf, endorsementKind, readEndorsementKey } from './vek.ts'

const MAX_FILE = 4 * 1024 * 1024

/**
 * Recognises files of AMD collateral by their content: certificates in PEM, alone or as a chain, in whatever order, in DER
 * or in hex, and revocation lists. Others are passed over. Nothing is verified: the verifier does that.
 */
export function snpCollateral(files: readonly CollateralFile[]): CollateralSource {
  const found = new Map<string, Uint8Array>()
  for (const { bytes } of files) for (const der of dersOf(bytes)) add(found, der)
  return collateralOf(found)
}

function add(found: Map<string, Uint8Array>, der: Uint8Array): void {
  const certificate = attempt(() => parseVendorCertificate(der))
  if (certificate === undefined) addList(found, der)
  else if (attempt(() => endorsementKind(certificate)) === undefined) addAuthority(found, certificate)
  else addKey(found, certificate)
}

function addKey(found: Map<string, Uint8Array>, certificate: VendorCertificate): void {
  const key = attempt(() => readEndorsementKey(certificate))
  if (key === undefined) return
  const { product, tcb, hwid } = key
  const name = hwid === undefined ? snpCollateralNames.vlek(product, tcb) : snpCollateralNames.vcek(product, hwid, tcb)
  found.set(name, certificate.raw)
}

function addAuthority(found: Map<string, Uint8Array>, certificate: VendorCertificate): void {
  const commonName = attempt(() => commonNameOf(certificate))
  const pem = Buffer.from(encodePem('CERTIFICATE', certificate.raw))
  for (const product of SNP_PRODUCTS) {
    const chains: readonly (readonly [string, string])[] = [
      [`SEV-${product}`, snpCollateralNames.chain(product)],
      [`SEV-VLEK-${product}`, snpCollateralNames.vlekChain(product)],
      [`ARK-${product}`, snpCollateralNames.chain(product)],
      [`ARK-${product}`, snpCollateralNames.vlekChain(product)],
    ]
    for (const [subject, name] of chains) {
      if (subject === commonName) found.set(name, Buffer.concat([found.get(name) ?? new Uint8Array(), pem]))
    }
  }
}

function addList(found: Map<string, Uint8Array>, der: Uint8Array): void {
  const list = attempt(() => parseRevocationList(der))
  if (list === undefined) return
  const issuers = attempt(() => nameAttributes(list.issuer, COMMON_NAME)) ?? []
  const product = SNP_PRODUCTS.find((one) => issuers.includes(`ARK-${one}`))
  if (product !== undefined) found.set(snpCollateralNames.crl(product), der)
}

function dersOf(bytes: Uint8Array): readonly Uint8Array[] {
  const text = bytes[0] === TAG.sequence ? undefined : decodeUtf8(bytes)?.trim()
  if (text === undefined) return splitDer(bytes)
  if (/^[0-9a-fA-F\s]+$/.test(text)) return splitDer(Buffer.from(text.replace(/\s/g, ''), 'hex'))
  return (attempt(() => parsePem(text)) ?? []).map((block) => block.bytes)
}

// One after the other, as some tools write chains.
function splitDer(bytes: Uint8Array): readonly Uint8Array[] {
  const read = (): readonly Uint8Array[] => {
    const ders: Uint8Array[] = []
    const input = DerReader.of(bytes, { maxBytes: MAX_FILE })
    while (!input.isAtEnd) ders.push(input.element(TAG.sequence))
    return ders
  }
  return attempt(read) ?? []
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!AimsError.is(error)) throw error
    return undefined
  }
}
