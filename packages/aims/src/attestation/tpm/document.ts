import { asBuffer, decodeBase64 } from '../../base/bytes.ts'
import { refuseAs } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../base/json.ts'
import { HASH_SIZE, type TpmHash } from './algorithms.ts'
import type { PcrValues } from './pcrs.ts'
import type { CertifyParts, QuoteParts } from './statements.ts'
import { malformed } from './wire.ts'

/** What a machine says about its keys before it gets a challenge. */
interface TpmHello {
  /** Certificate of the endorsement key, and below it any intermediate ones. */
  readonly ekCertificates: readonly Uint8Array[]
  readonly ekPublic: Uint8Array
  readonly akPublic: Uint8Array
}

/** The parts of evidence, read and NOT verified. */
export interface TpmDocument extends Partial<TpmHello> {
  readonly ekCertificates: readonly Uint8Array[]
  readonly akPublic: Uint8Array
  readonly akCertificates: readonly Uint8Array[]
  /** What came out of the credential of the challenge. */
  readonly secret?: Uint8Array
  readonly quote?: QuoteParts
  readonly certify?: CertifyParts
  readonly eventLog?: Uint8Array
}

/** Bytes of evidence: a document whose event log is as large as it may be. */
export const MAX_TPM_EVIDENCE = 400_000

const MEMBERS: ReadonlySet<string> = new Set([
  'ekCertificate',
  'ekPublic',
  'akPublic',
  'akCertificate',
  'secret',
  'quote',
  'signature',
  'pcrs',
  'certify',
  'eventLog',
])
const HELLO: ReadonlySet<string> = new Set(['ekCertificate', 'ekPublic', 'akPublic'])
const CERTIFY: ReadonlySet<string> = new Set(['public', 'attest', 'signature'])

/**
 * Reads evidence: a JSON object whose members are standard padded base64, except `pcrs`.
 *
 * @throws {@link AimsError} `attestation.malformed`
 * @see docs/layers/3-attestation-tpm.md
 */
export function parseTpmDocument(bytes: Uint8Array): TpmDocument {
  const document = refuseAs('attestation.malformed', 'the evidence of a TPM is not a JSON object', () =>
    parseJsonObject(bytes, { maxLength: MAX_TPM_EVIDENCE }),
  )
  requireKnown(document, MEMBERS)
  const { secret, eventLog } = { secret: optional(document, 'secret'), eventLog: optional(document, 'eventLog') }
  const ekPublic = optional(document, 'ekPublic')
  const quote = readQuote(document)
  const certify = readCertify(document.certify)
  return {
    ekCertificates: certificates(document, 'ekCertificate'),
    akPublic: required(document, 'akPublic'),
    akCertificates: certificates(document, 'akCertificate'),
    ...(ekPublic === undefined ? {} : { ekPublic }),
    ...(secret === undefined ? {} : { secret }),
    ...(quote === undefined ? {} : { quote }),
    ...(certify === undefined ? {} : { certify }),
    ...(eventLog === undefined ? {} : { eventLog }),
  }
}

/** Reads what a machine sends to get a challenge. @throws {@link AimsError} `attestation.malformed` */
export function readTpmHello(hello: JsonObject): TpmHello {
  requireKnown(hello, HELLO)
  return {
    ekCertificates: certificates(hello, 'ekCertificate'),
    ekPublic: required(hello, 'ekPublic'),
    akPublic: required(hello, 'akPublic'),
  }
}

function requireKnown(object: JsonObject, members: ReadonlySet<string>): void {
  if (!Object.keys(object).every((name) => members.has(name))) throw malformed('a member of the evidence is not known')
}

function readQuote(document: JsonObject): QuoteParts | undefined {
  const attest = optional(document, 'quote')
  if (attest === undefined) {
    if (document.signature !== undefined || document.pcrs !== undefined) throw malformed('a quote is missing')
    return undefined
  }
  const quote = { attest, signature: required(document, 'signature') }
  return document.pcrs === undefined ? quote : { ...quote, values: readPcrValues(document.pcrs) }
}

function readCertify(value: JsonValue | undefined): CertifyParts | undefined {
  if (value === undefined) return undefined
  if (!isJsonObject(value)) throw malformed('certify is not an object')
  requireKnown(value, CERTIFY)
  return {
    public: required(value, 'public'),
    attest: required(value, 'attest'),
    signature: required(value, 'signature'),
  }
}

/**
 * Reads values of PCRs by bank and index, in hex: `{"sha256": {"0": "3d45..."}}`.
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function readPcrValues(value: JsonValue): PcrValues {
  if (!isJsonObject(value)) throw malformed('pcrs is not an object')
  const values = new Map<string, Uint8Array>()
  for (const [bank, list] of Object.entries(value)) {
    const size = Object.hasOwn(HASH_SIZE, bank) ? HASH_SIZE[bank as TpmHash] : undefined
    if (size === undefined || !isJsonObject(list)) throw malformed('pcrs holds something else than banks')
    for (const [index, hex] of Object.entries(list)) {
      const isIndex = /^(?:\d|1\d|2[0-3])$/.test(index)
      const isDigest = typeof hex === 'string' && hex.length === size * 2 && /^[0-9a-fA-F]+$/.test(hex)
      if (!isIndex || !isDigest) throw malformed('pcrs holds something else than digests of its bank')
      values.set(`${bank}:${index}`, Buffer.from(hex, 'hex'))
    }
  }
  return values
}

/** The same as evidence has it. */
export function pcrValuesJson(values: PcrValues): { readonly [bank: string]: { readonly [index: string]: string } } {
  const banks: { [bank: string]: { [index: string]: string } } = {}
  for (const [pcr, value] of values) {
    const [bank = '', index = ''] = pcr.split(':')
    banks[bank] = { ...banks[bank], [index]: asBuffer(value).toString('hex') }
  }
  return banks
}

function certificates(document: JsonObject, name: string): readonly Uint8Array[] {
  const value = document[name]
  if (value === undefined) return []
  const list: readonly JsonValue[] = Array.isArray(value) ? value : [value as JsonValue]
  if (list.length === 0 || list.length > 5) throw malformed('a chain has 1 to 5 certificates')
  return list.map((one) => base64(one))
}

function optional(document: JsonObject, name: string): Uint8Array | undefined {
  return document[name] === undefined ? undefined : base64(document[name])
}

function required(document: JsonObject, name: string): Uint8Array {
  return base64(document[name])
}

function base64(value: JsonValue | undefined): Uint8Array {
  const bytes = typeof value === 'string' ? decodeBase64(value) : undefined
  if (bytes === undefined || bytes.length === 0) throw malformed('a member of the evidence is missing or not base64')
  return bytes
}
