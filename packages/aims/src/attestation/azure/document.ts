import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../base/json.ts'

/** What an attested document says. */
export interface AzureClaims {
  /** UUID, lower case. */
  readonly vmId: string
  /** UUID, lower case. */
  readonly subscriptionId: string
  readonly nonce: string
  /** E.g. `20_04-lts-gen2`; may be empty. */
  readonly sku: string
  /** Seconds since the epoch. */
  readonly createdOn: number
  /** Seconds since the epoch. */
  readonly expiresOn: number
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const TIME = /^(\d\d)\/(\d\d)\/(\d\d) (\d\d:\d\d:\d\d) -0000$/

/**
 * Reads the content of an attested document. Members that nothing here decides on are not looked at.
 *
 * @throws {@link AimsError} `attestation.malformed`
 * @see https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service, "Attested data"
 */
export function parseAzureDocument(content: Uint8Array): AzureClaims {
  const document = refuseAs('attestation.malformed', 'the attested document is not strict JSON', () =>
    parseJsonObject(content),
  )
  const times = document.timeStamp
  if (!isJsonObject(times)) throw malformed('timeStamp')
  return {
    vmId: uuidOf(document, 'vmId'),
    subscriptionId: uuidOf(document, 'subscriptionId'),
    nonce: textOf(document, 'nonce'),
    sku: textOf(document, 'sku'),
    createdOn: timeOf(times.createdOn),
    expiresOn: timeOf(times.expiresOn),
  }
}

function textOf(document: JsonObject, name: string): string {
  const value = document[name]
  // They become parts of selectors and records.
  if (typeof value !== 'string' || value.length > 256 || /[\p{Cc}\p{Cs}]/u.test(value)) throw malformed(name)
  return value
}

function uuidOf(document: JsonObject, name: string): string {
  const value = textOf(document, name).toLowerCase()
  if (!UUID.test(value)) throw malformed(name)
  return value
}

// MM/DD/YY HH:mm:ss -0000
function timeOf(value: JsonValue | undefined): number {
  const [, month, day, year, time] = TIME.exec(typeof value === 'string' ? value : '') ?? []
  const iso = `20${year}-${month}-${day}T${time}.000Z`
  const milliseconds = Date.parse(iso)
  // February 30 would become March 1 or 2.
  if (!Number.isFinite(milliseconds) || new Date(milliseconds).toISOString() !== iso) throw malformed('timeStamp')
  return milliseconds / 1000
}

function malformed(name: string): AimsError {
  return new AimsError('attestation.malformed', `${name} of the attested document does not have its documented form`)
}
