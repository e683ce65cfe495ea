import { asBuffer, decodeUtf8 } from '../../base/bytes.ts'
import { DerReader, TAG } from '../../base/der.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import type { VendorCertificate } from '../x509/vendor-certificate.ts'

/** A virtual machine of Google Compute Engine, as the certificate of its virtual TPM names it. */
export interface GceInstance {
  readonly zone: string
  readonly projectNumber: string
  readonly projectId: string
  readonly instanceId: string
  readonly name: string
}

const INSTANCE = '1.3.6.1.4.1.11129.2.1.21'

/**
 * The instance a certificate names, or `undefined` for a certificate without this extension. Only instances that run in
 * production are named; others may be under a debugger.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.debug`
 * @see https://cloud.google.com/compute/shielded-vm/docs (GCE instance identity in AK certificates)
 */
export function findGceInstance(certificate: VendorCertificate): GceInstance | undefined {
  const extension = certificate.extensions.get(INSTANCE)
  if (extension === undefined) return undefined
  const { instance, isProduction } = refuseAs(
    'attestation.malformed',
    'the instance of a certificate is malformed',
    () => read(extension.value),
  )
  if (!isProduction) throw new AimsError('attestation.debug', 'the certificate is of an instance outside production')
  return instance
}

function read(der: Uint8Array): { readonly instance: GceInstance; readonly isProduction: boolean } {
  const input = DerReader.of(der)
  const fields = input.enter(TAG.sequence)
  input.end()
  const instance = {
    zone: text(fields),
    projectNumber: decimal(fields),
    projectId: text(fields),
    instanceId: decimal(fields),
    name: text(fields),
  }
  const isProduction = fields.nextTag === 0xa0 ? readProduction(fields) : false
  fields.end()
  return { instance, isProduction }
}

// [0] { [0] version, [1] isProduction, then properties of the instance, which say nothing about who it is. }
function readProduction(fields: DerReader): boolean {
  const explicit = fields.enter(0xa0)
  const security = explicit.enter(TAG.sequence)
  explicit.end()
  let isProduction = false
  while (!security.isAtEnd) {
    const isFlag = security.nextTag === 0xa1
    const property = security.enter(security.nextTag)
    if (isFlag) isProduction = property.boolean()
    else property.element()
    property.end()
  }
  return isProduction
}

function text(fields: DerReader): string {
  const value = decodeUtf8(fields.content(TAG.utf8String))
  // They become parts of selectors.
  if (value === undefined || !/^[\x21-\x7e]{1,256}$/.test(value))
    throw new AimsError('der.malformed', 'not a plain name')
  return value
}

function decimal(fields: DerReader): string {
  const bytes = fields.integer()
  if (bytes.length > 9 || (bytes[0] as number) >= 0x80) throw new AimsError('der.malformed', 'not an id of 64 bits')
  return BigInt(`0x${asBuffer(bytes).toString('hex')}`).toString()
}
