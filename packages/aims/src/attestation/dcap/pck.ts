import { asBuffer } from '../../base/bytes.ts'
import { DerReader, readWholeDer, TAG } from '../../base/der.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import type { VendorCertificate } from '../x509/vendor-certificate.ts'

/** What the certificate of a PCK says about its platform. */
export interface DcapPlatform {
  /** Family, model, stepping, platform and custom SKU: 6 bytes, lower-case hex. */
  readonly fmspc: string
  /** 2 bytes, lower-case hex. */
  readonly pceId: string
  /** Names the processor package for good: 16 bytes, lower-case hex. */
  readonly ppid: string
  /** Names the platform of several packages since it was last set up: 16 bytes, lower-case hex. */
  readonly platformInstanceId?: string
  /** Security versions of the 16 components of the TCB. */
  readonly componentSvns: readonly number[]
  readonly pceSvn: number
  /** 0 standard, 1 scalable, 2 scalable with integrity. */
  readonly sgxType: number
  /** Absent for single-package platforms, whose certificates do not say. */
  readonly configuration?: { readonly dynamicPlatform: boolean; readonly cachedKeys: boolean; readonly smt: boolean }
}

/** The extension of PCK certificates. */
export const SGX_EXTENSION = '1.2.840.113741.1.13.1'

/**
 * Reads the SGX extension of a PCK certificate. Strict: every member once, of its exact size.
 *
 * @throws {@link AimsError} `attestation.malformed`
 * @see Intel SGX PCK Certificate and CRL Profile Specification, section 1.3.5
 */
export function readPckExtension({ extensions }: VendorCertificate): DcapPlatform {
  const extension = extensions.get(SGX_EXTENSION)
  if (extension === undefined) throw malformed('the PCK certificate has no SGX extension')
  return refuseAs('attestation.malformed', 'the SGX extension of the PCK certificate cannot be read', () => {
    const fields = readFields(extension.value, SGX_EXTENSION)
    const tcb = readFields(required(fields, '2'), `${SGX_EXTENSION}.2`)
    const componentSvns = Array.from({ length: 16 }, (_, at) => integer(required(tcb, `${at + 1}`), 0xff))
    octets(required(tcb, '18'), 16)
    const instance = fields.get('6')
    const configuration = fields.get('7')
    return {
      fmspc: octets(required(fields, '4'), 6),
      pceId: octets(required(fields, '3'), 2),
      ppid: octets(required(fields, '1'), 16),
      ...(instance === undefined ? {} : { platformInstanceId: octets(instance, 16) }),
      componentSvns,
      pceSvn: integer(required(tcb, '17'), 0xffff),
      sgxType: enumerated(required(fields, '5')),
      ...(configuration === undefined ? {} : { configuration: readConfiguration(configuration) }),
    }
  })
}

// SEQUENCE OF SEQUENCE { OID, value }: the values by the last arc of their OID.
function readFields(bytes: Uint8Array, prefix: string): ReadonlyMap<string, Uint8Array> {
  const input = DerReader.of(bytes)
  const list = input.enter(TAG.sequence)
  input.end()
  const fields = new Map<string, Uint8Array>()
  while (!list.isAtEnd) {
    const one = list.enter(TAG.sequence)
    const oid = one.oid()
    const value = one.element()
    one.end()
    const arc = oid.slice(prefix.length + 1)
    if (!oid.startsWith(`${prefix}.`) || fields.has(arc)) throw malformed('a member is foreign or repeated')
    fields.set(arc, value)
  }
  return fields
}

function readConfiguration(bytes: Uint8Array): NonNullable<DcapPlatform['configuration']> {
  const flags = readFields(bytes, `${SGX_EXTENSION}.7`)
  const flag = (arc: string): boolean => {
    const value = flags.get(arc)
    return value !== undefined && readWholeDer(value, (input) => input.boolean())
  }
  return { dynamicPlatform: flag('1'), cachedKeys: flag('2'), smt: flag('3') }
}

function required(fields: ReadonlyMap<string, Uint8Array>, arc: string): Uint8Array {
  const value = fields.get(arc)
  if (value === undefined) throw malformed('a member of the SGX extension is missing')
  return value
}

function octets(element: Uint8Array, length: number): string {
  const value = readWholeDer(element, (input) => input.octetString())
  if (value.length !== length) throw malformed('a member of the SGX extension has another size')
  return asBuffer(value).toString('hex')
}

function integer(element: Uint8Array, most: number): number {
  const value = readWholeDer(element, (input) => input.smallInteger())
  if (value > most) throw malformed('a security version is out of range')
  return value
}

function enumerated(element: Uint8Array): number {
  const [value, ...more] = readWholeDer(element, (input) => input.content(0x0a))
  if (value === undefined || more.length > 0) throw malformed('the SGX type is out of range')
  return value
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
