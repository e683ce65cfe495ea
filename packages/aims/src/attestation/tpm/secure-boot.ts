import { asBuffer } from '../../base/bytes.ts'
import { isDigestOfData } from './boot-log.ts'
import type { LoggedEvent } from './event-log.ts'

/** Types of events that are looked at. */
export const EVENT = { separator: 0x04, efiVariable: 0x8000_0001, efiAuthority: 0x8000_00e0 } as const

const GLOBAL = Buffer.from('61dfe48bca93d211aa0d00e098032b8c', 'hex')
const SECURE_BOOT = Buffer.from('SecureBoot', 'utf16le')
const NO_ERROR = Buffer.alloc(4)

/**
 * Whether the firmware enforced secure boot, from events that `replayBootLog` returned. `undefined`: they do not
 * say. The types of events are nobody's word but the log's, so the answer rests on digests and order alone: the first
 * thing extended into PCR 7 must be the variable, exactly once, before the separator.
 *
 * @see TCG PC Client Platform Firmware Profile 1.05, section 3.3.4.8 (PCR 7)
 */
export function findSecureBoot(events: readonly LoggedEvent[]): boolean | undefined {
  const pcr7 = events.filter(({ register }) => register === 7)
  const [first] = pcr7
  if (first === undefined || !isSecureBoot(first)) return undefined
  const separator = pcr7.findIndex(
    (event) => event.type === EVENT.separator && asBuffer(event.data).equals(NO_ERROR) && isDigestOfData(event),
  )
  if (separator === -1 || pcr7.filter(isSecureBoot).length !== 1) return undefined
  // Before the separator come variables, after it the authorities of what was run; anything else leaves it open.
  const isOrderly = pcr7.every((event, at) =>
    at === separator
      ? true
      : at < separator
        ? event.type === EVENT.efiVariable && isDigestOfData(event)
        : event.type !== EVENT.efiVariable && event.type !== EVENT.separator,
  )
  if (!isOrderly) return undefined
  return first.data.at(-1) === 1
}

// UEFI_VARIABLE_DATA: GUID, u64 length of the name in characters, u64 length of the value, name, value.
function isSecureBoot(event: LoggedEvent): boolean {
  const { data } = event
  const head = Buffer.concat([GLOBAL, u64(SECURE_BOOT.length / 2), u64(1), SECURE_BOOT])
  const value = data.at(-1)
  return (
    event.type === EVENT.efiVariable &&
    data.length === head.length + 1 &&
    asBuffer(data).subarray(0, -1).equals(head) &&
    (value === 0 || value === 1) &&
    isDigestOfData(event)
  )
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
