// Attested documents as the Azure metadata service makes them, under a root of our own.
import { type CmsOptions, makeCms, RSA, RSA_SHA256 } from './cms.ts'
import {
  bits,
  type CertificateOptions,
  caExtensions,
  extendedUsage,
  makeCertificate,
  makeRoot,
  newKey,
  oid,
  type PkiCertificate,
  type PkiExtension,
  seq,
  subjectAltDns,
  tlv,
} from './vendor-pki.ts'

export const AZURE_NOW = 1_750_000_000
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
export const AZURE_SERIAL: Buffer = Buffer.from('120023d42e', 'hex')

export const azureRoot: PkiCertificate = makeRoot('Test Global Root', { key: newKey('RSA-2048') })
export const azureIssuer: PkiCertificate = makeCertificate({
  subject: 'Test TLS CA 01',
  issuer: azureRoot,
  key: newKey('RSA-2048'),
  extensions: caExtensions(0),
})

/** authorityInfoAccess with these caIssuers addresses. */
export const issuersAt = (...addresses: readonly string[]): PkiExtension => ({
  oid: '1.3.6.1.5.5.7.1.1',
  value: seq(...addresses.map((one) => seq(oid('1.3.6.1.5.5.7.48.2'), tlv(0x86, Buffer.from(one))))),
})
export const signs: PkiExtension = { oid: '2.5.29.15', critical: true, value: bits(Buffer.from([0xb0]), 4) }

export function azureCertificate(
  names: readonly string[] = ['metadata.azure.com', 'southcentralus.metadata.azure.com'],
  options: Partial<CertificateOptions> = {},
): PkiCertificate {
  return makeCertificate({
    subject: 'metadata.azure.com',
    issuer: azureIssuer,
    key: newKey('RSA-2048'),
    serial: AZURE_SERIAL,
    extensions: [signs, subjectAltDns(...names), extendedUsage(SERVER_AUTH, '1.3.6.1.5.5.7.3.2')],
    ...options,
  })
}

export const azureSigner: PkiCertificate = azureCertificate()

export interface AzureContent {
  readonly nonce?: string
  readonly createdOn?: number
  readonly expiresOn?: number
  /** Replaces members; `undefined` leaves one out. */
  readonly members?: { readonly [name: string]: unknown }
}

export function azureContent({ nonce, createdOn, expiresOn, members }: AzureContent = {}): Buffer {
  return Buffer.from(
    JSON.stringify({
      licenseType: '',
      nonce: nonce ?? '20250615-211320',
      plan: { name: '', product: '', publisher: '' },
      sku: '24_04-lts-gen2',
      subscriptionId: '5f130ffc-0000-4795-b691-4f56a12a5547',
      timeStamp: {
        createdOn: azureTime(createdOn ?? AZURE_NOW - 60),
        expiresOn: azureTime(expiresOn ?? AZURE_NOW + 21_540),
      },
      vmId: 'bd8e7443-0000-41f3-b949-8baf4fd1c573',
      ...members,
    }),
  )
}

export function azureMessage(content: Uint8Array = azureContent(), options: Partial<CmsOptions> = {}): Buffer {
  return makeCms({
    content,
    signer: azureSigner,
    serial: AZURE_SERIAL,
    issuer: azureIssuer.subject,
    digestAlgorithm: RSA_SHA256,
    signatureAlgorithm: RSA,
    certificates: [(options.signer ?? azureSigner).der],
    ...options,
  })
}

// MM/DD/YY HH:mm:ss -0000
function azureTime(seconds: number): string {
  const [date = '', time = ''] = new Date(seconds * 1000).toISOString().split('T')
  const [year = '', month, day] = date.split('-')
  return `${month}/${day}/${year.slice(2)} ${time.slice(0, 8)} -0000`
}
