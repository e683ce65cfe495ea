import { decodeUtf8 } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../base/json.ts'
import { parsePem } from '../../base/pem.ts'
import { base64Member, hexMember } from '../packaging.ts'

/** Evidence of an Azure confidential VM, taken apart. Nothing is verified. */
export interface AzureCvmDocument {
  readonly hclReport: Uint8Array
  readonly quote: {
    /** TPMS_ATTEST. */
    readonly message: Uint8Array
    readonly signature: Uint8Array
    /** The values of the quoted PCRs, in their order. */
    readonly pcrs: readonly Uint8Array[]
  }
  /** SEV-SNP: certificate of the endorsement key, DER. Absent: it is collateral. */
  readonly vcek?: Uint8Array
  /** TDX: the quote that Azure made of the TD report. */
  readonly tdQuote?: Uint8Array
  /** The user data of the runtime data are bound too. */
  readonly bindsUserData: boolean
}

/** Bytes. Legacy evidence writes bytes as arrays of numbers. */
export const MAX_AZURE_CVM_EVIDENCE = 262_144
const MAX_PCRS = 32

/**
 * Reads evidence as the attesters of Confidential Containers make it: `{"version": 1 or 2, "tpm_quote": {"message",
 * "signature", "pcrs"}, "hcl_report", "vcek" or "td_quote"}`, with hex inside `tpm_quote` and base64url beside it; or the
 * legacy form without a version, where bytes are arrays of numbers and the VCEK is PEM.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported`
 */
export function parseAzureCvmDocument(bytes: Uint8Array): AzureCvmDocument {
  const text = decodeUtf8(bytes)?.trim() ?? ''
  const document = refuseAs('attestation.malformed', 'the evidence is not a strict JSON object', () =>
    parseJsonObject(text),
  )
  const { version, ...members } = document
  if (version === undefined) return readLegacy(members)
  if (version !== 1 && version !== 2) {
    throw new AimsError('attestation.unsupported', 'the evidence has another version than 1 or 2')
  }
  requireMembers(members, ['tpm_quote', 'hcl_report', 'vcek', 'td_quote'])
  const quote = quoteOf(members.tpm_quote)
  return {
    hclReport: base64Member(members, 'hcl_report'),
    quote: {
      message: hexMember(quote.message, 'message'),
      signature: hexMember(quote.signature, 'signature'),
      pcrs: pcrsOf(quote.pcrs).map((pcr) => hexMember(pcr, 'pcrs')),
    },
    ...(members.vcek === undefined ? {} : { vcek: base64Member(members, 'vcek') }),
    ...(members.td_quote === undefined ? {} : { tdQuote: base64Member(members, 'td_quote') }),
    bindsUserData: version === 2,
  }
}

function readLegacy(members: JsonObject): AzureCvmDocument {
  const isTdx = members.td_quote !== undefined
  requireMembers(members, isTdx ? ['tpm_quote', 'hcl_report', 'td_quote'] : ['quote', 'report', 'vcek'])
  const quote = quoteOf(isTdx ? members.tpm_quote : members.quote)
  return {
    hclReport: numbers(isTdx ? members.hcl_report : members.report, 'the HCL report'),
    quote: {
      message: numbers(quote.message, 'message'),
      signature: numbers(quote.signature, 'signature'),
      pcrs: pcrsOf(quote.pcrs).map((pcr) => numbers(pcr, 'pcrs')),
    },
    ...(isTdx ? { tdQuote: numbers(members.td_quote, 'td_quote') } : { vcek: pem(members.vcek) }),
    bindsUserData: false,
  }
}

function quoteOf(value: JsonValue | undefined): JsonObject {
  if (!isJsonObject(value)) throw malformed('the evidence has no quote')
  requireMembers(value, ['message', 'signature', 'pcrs'])
  return value
}

function pcrsOf(value: JsonValue | undefined): readonly JsonValue[] {
  if (!Array.isArray(value) || value.length > MAX_PCRS) throw malformed('pcrs is not a list of values')
  return value
}

function requireMembers(object: JsonObject, known: readonly string[]): void {
  if (Object.keys(object).some((name) => !known.includes(name))) throw malformed('the evidence has an unknown member')
}

function numbers(value: JsonValue | undefined, name: string): Buffer {
  const isBytes = (one: JsonValue): one is number =>
    typeof one === 'number' && Number.isInteger(one) && one >= 0 && one <= 255
  if (!Array.isArray(value) || !value.every(isBytes)) throw malformed(`${name} is not a list of bytes`)
  return Buffer.from(value)
}

function pem(value: JsonValue | undefined): Uint8Array {
  const [block, ...more] =
    typeof value === 'string'
      ? refuseAs('attestation.malformed', 'vcek is not a certificate in PEM', () => parsePem(value))
      : []
  if (block === undefined || more.length > 0) throw malformed('vcek is not one certificate in PEM')
  return block.bytes
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
