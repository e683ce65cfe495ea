import { asBuffer } from '../../base/bytes.ts'
import { type CborMap, type CborValue, isCborMap } from '../../base/cbor.ts'
import { AimsError } from '../../base/errors.ts'
import { decodeEvidenceMap } from '../cose/sign1.ts'

/** The payload of an attestation document, read and NOT verified. */
export interface NitroDocument {
  /** `i-...-enc...`: the parent instance and the enclave. */
  readonly moduleId: string
  /** Seconds since the epoch. */
  readonly timestamp: number
  /** Index to value. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>
  /** DER. */
  readonly certificate: Uint8Array
  /** DER, the root first, the issuer of `certificate` last. */
  readonly cabundle: readonly Uint8Array[]
  readonly publicKey?: Uint8Array
  readonly userData?: Uint8Array
  readonly nonce?: Uint8Array
}

const MAX_CA = 8
const MAX_CERTIFICATE = 1024
const MAX_USER_BYTES = 1024
const PCR_SIZES: readonly number[] = [32, 48, 64]
const MODULE_ID = /^[A-Za-z0-9-]{1,128}$/
const MEMBERS: ReadonlySet<string | number | bigint> = new Set([
  'module_id',
  'digest',
  'timestamp',
  'pcrs',
  'certificate',
  'cabundle',
  'public_key',
  'user_data',
  'nonce',
])

/**
 * Reads the payload of a Nitro attestation document: exactly the documented members, sizes and kinds. PCR 0, 1 and 2 must
 * be there: an enclave in debug mode has zeros in them, not none.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported`
 * @see aws-nitro-enclaves-nsm-api, docs/attestation_process.md
 */
export function parseNitroDocument(payload: Uint8Array): NitroDocument {
  const map = decodeEvidenceMap(payload)
  for (const name of map.keys()) if (!MEMBERS.has(name)) throw malformed('has a member that is not documented')
  if (map.get('digest') !== 'SHA384') throw new AimsError('attestation.unsupported', 'the PCRs are not SHA-384')
  const moduleId = map.get('module_id')
  if (typeof moduleId !== 'string' || !MODULE_ID.test(moduleId)) throw malformed('module_id is not an identifier')
  const milliseconds = map.get('timestamp')
  if (typeof milliseconds !== 'number' || milliseconds <= 0) throw malformed('timestamp is not in milliseconds')
  return {
    moduleId,
    timestamp: milliseconds / 1000,
    pcrs: readPcrs(map.get('pcrs')),
    certificate: bytesOf(map.get('certificate'), 1, MAX_CERTIFICATE, 'certificate'),
    cabundle: readBundle(map.get('cabundle')),
    ...optional(map, 'public_key', 'publicKey'),
    ...optional(map, 'user_data', 'userData'),
    ...optional(map, 'nonce', 'nonce'),
  }
}

function readPcrs(value: CborValue | undefined): ReadonlyMap<number, Uint8Array> {
  if (!isCborMap(value) || value.size > 32) throw malformed('pcrs is not a map of at most 32')
  const pcrs = new Map<number, Uint8Array>()
  for (const [index, pcr] of value) {
    if (typeof index !== 'number' || index < 0 || index > 31) throw malformed('the index of a PCR is not 0 to 31')
    if (!(pcr instanceof Uint8Array) || !PCR_SIZES.includes(pcr.length)) throw malformed('a PCR has an unknown size')
    pcrs.set(index, pcr)
  }
  if (![0, 1, 2].every((index) => pcrs.has(index))) throw malformed('PCR 0, 1 or 2 is missing')
  return pcrs
}

function readBundle(value: CborValue | undefined): readonly Uint8Array[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_CA) throw malformed('cabundle is not 1 to 8')
  return value.map((one) => bytesOf(one, 1, MAX_CERTIFICATE, 'cabundle'))
}

type Optional = 'publicKey' | 'userData' | 'nonce'

function optional<Name extends Optional>(
  map: CborMap,
  member: string,
  name: Name,
): { readonly [N in Name]?: Uint8Array } {
  const value = map.get(member)
  if (value === undefined || value === null) return {}
  return { [name]: bytesOf(value, 0, MAX_USER_BYTES, member) } as { readonly [N in Name]?: Uint8Array }
}

function bytesOf(value: CborValue | undefined, min: number, max: number, member: string): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length < min || value.length > max) {
    throw malformed(`${member} is not ${min} to ${max} bytes`)
  }
  return asBuffer(value)
}

function malformed(rule: string): AimsError {
  return new AimsError('attestation.malformed', `the Nitro document: ${rule}`)
}
