import { asBuffer } from '../../base/bytes.ts'
import { DerReader, TAG } from '../../base/der.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import type { VendorCertificate } from '../x509/vendor-certificate.ts'
import { DIGITAL_SIGNATURE, extendedKeyUsages, keyUsages } from '../x509/vendor-chain.ts'

/** The clouds of Azure and the domain of their metadata services. */
export const AZURE_CLOUDS = {
  public: 'metadata.azure.com',
  'us-government': 'metadata.azure.us',
  china: 'metadata.azure.cn',
} as const
/** One of these clouds. */
export type AzureCloud = keyof typeof AZURE_CLOUDS

const SUBJECT_ALT_NAME = '2.5.29.17'
const DNS_NAME = 0x82
const AUTHORITY_INFORMATION_ACCESS = '1.3.6.1.5.5.7.1.1'
const CA_ISSUERS = '1.3.6.1.5.5.7.48.2'
const URI = 0x86
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const ISSUER_HOSTS: readonly string[] = ['www.microsoft.com', 'cacerts.digicert.com']

/**
 * Checks that a certificate is one of a metadata service of these clouds: a DNS name that is the domain or below it,
 * for servers, and allowed to sign.
 *
 * @throws {@link AimsError} `attestation.chain_invalid`, `attestation.malformed`
 */
export function checkMetadataCertificate(certificate: VendorCertificate, clouds: readonly AzureCloud[]): void {
  const names = dnsNames(certificate)
  const domains = clouds.map((cloud) => AZURE_CLOUDS[cloud])
  if (!names.some((name) => domains.some((domain) => name === domain || name.endsWith(`.${domain}`)))) {
    throw new AimsError('attestation.chain_invalid', 'the certificate is not one of a metadata service of Azure')
  }
  if (extendedKeyUsages(certificate)?.includes(SERVER_AUTH) !== true) {
    throw new AimsError('attestation.chain_invalid', 'the certificate of the metadata service is not for servers')
  }
  if (keyUsages(certificate)?.has(DIGITAL_SIGNATURE) === false) {
    throw new AimsError('attestation.chain_invalid', 'the certificate of the metadata service may not sign')
  }
}

/**
 * Where the issuer of a certificate can be had: caIssuers addresses at Microsoft and DigiCert only, over HTTP or HTTPS at
 * the default port, at most four. Whoever fetches one follows no redirect. What comes is not trusted: it is verified when
 * it is used.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function issuerAddresses(certificate: VendorCertificate): readonly string[] {
  const extension = certificate.extensions.get(AUTHORITY_INFORMATION_ACCESS)
  if (extension === undefined) return []
  const addresses: string[] = []
  readList(extension.value, (list) => {
    const description = list.enter(TAG.sequence)
    const isIssuer = description.oid() === CA_ISSUERS
    const tag = description.nextTag
    const value = asBuffer(description.content(tag)).toString('latin1')
    description.end()
    if (isIssuer && tag === URI && isIssuerAddress(value)) addresses.push(value)
  })
  return addresses.slice(0, 4)
}

function isIssuerAddress(text: string): boolean {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || !ISSUER_HOSTS.includes(url.hostname)) return false
  return url.port === '' && url.username === '' && url.password === '' && url.search === '' && url.hash === ''
}

function dnsNames(certificate: VendorCertificate): readonly string[] {
  const extension = certificate.extensions.get(SUBJECT_ALT_NAME)
  if (extension === undefined) return []
  const names: string[] = []
  readList(extension.value, (list) => {
    const tag = list.nextTag
    const value = list.content(tag)
    if (tag === DNS_NAME) names.push(asBuffer(value).toString('latin1').toLowerCase())
  })
  return names
}

function readList(value: Uint8Array, read: (list: DerReader) => void): void {
  refuseAs('attestation.malformed', 'an extension of the certificate cannot be read', () => {
    const input = DerReader.of(value)
    const list = input.enter(TAG.sequence)
    input.end()
    while (!list.isAtEnd) read(list)
  })
}
