// Identity documents as EC2 makes them, under certificates of our own.
import { type CmsOptions, makeCms } from './cms.ts'
import { makeCertificate, newKey, type PkiCertificate, type PkiKey } from './vendor-pki.ts'

export const IID_NOW = 1_750_000_000
const IID_SERIAL: Buffer = Buffer.from('b64bde5ad00924cc', 'hex')

/** The certificate of a region: signs itself, is no CA. */
export const regionCertificate = (
  key: PkiKey = newKey('RSA-2048'),
  serial: Uint8Array = Buffer.concat([Buffer.of(0), IID_SERIAL]),
): PkiCertificate => makeCertificate({ subject: 'Amazon Web Services LLC', key, serial })

export const iidCertificate: PkiCertificate = regionCertificate()
const DOCUMENT = {
  accountId: '123456789012',
  architecture: 'x86_64',
  availabilityZone: 'eu-central-1a',
  billingProducts: null,
  devpayProductCodes: null,
  marketplaceProductCodes: null,
  imageId: 'ami-0123456789abcdef0',
  instanceId: 'i-0123456789abcdef0',
  instanceType: 't3.medium',
  kernelId: null,
  pendingTime: '2025-06-15T15:06:30Z',
  privateIp: '10.0.0.209',
  ramdiskId: null,
  region: 'eu-central-1',
  version: '2017-09-30',
}
/** pendingTime of the document, seconds since the epoch. */
export const IID_PENDING = 1_749_999_990

export function iidDocument(change: { readonly [member: string]: unknown } = {}): Buffer {
  return Buffer.from(JSON.stringify({ ...DOCUMENT, ...change }, null, 2).replaceAll('": ', '" : '))
}

export function iidMessage(options: Partial<CmsOptions> = {}): Buffer {
  return makeCms({
    content: iidDocument(),
    signer: iidCertificate,
    serial: Buffer.concat([Buffer.of(0), IID_SERIAL]),
    streamed: true,
    signingTime: IID_PENDING + 3,
    ...options,
  })
}
