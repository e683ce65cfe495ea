import { createHash } from 'node:crypto'
import { AimsError } from '../../base/errors.ts'
import { LittleEndianReader } from '../dcap/reader.ts'

/** Hashes that events are logged under. */
export type EventHash = 'sha1' | 'sha256' | 'sha384' | 'sha512'

/** One event of a boot log. Only its digests can be checked against a register; `data` may say anything. */
export interface LoggedEvent {
  /** PCR of a TPM; measurement register of TDX in a CCEL (0 is MRTD, 1 to 4 are RTMR0 to RTMR3). */
  readonly register: number
  readonly type: number
  readonly digests: ReadonlyMap<EventHash, Uint8Array>
  readonly data: Uint8Array
}

/** EV_NO_ACTION: says something about the log and extends nothing. */
export const NO_ACTION = 3

const HASHES: { readonly [id: number]: { readonly name: EventHash; readonly bytes: number } } = {
  4: { name: 'sha1', bytes: 20 },
  11: { name: 'sha256', bytes: 32 },
  12: { name: 'sha384', bytes: 48 },
  13: { name: 'sha512', bytes: 64 },
}
const SPEC_ID = 'Spec ID Event03\0'
const MAX_EVENTS = 10_000
const MAX_ALGORITHMS = 8

/**
 * Reads a TCG event log in the crypto-agile format, as UEFI hands it out for a TPM (`binary_bios_measurements`) or for
 * TDX (`CCEL`). Padding of 00 or ff after the last event is tolerated: the table is larger than the log.
 *
 * Does not check that the log is true: {@link replayEventLog} and a signed register do.
 *
 * @throws {@link AimsError} `attestation.malformed`, `.unsupported` for the format of TPM 1.2
 * @see TCG PC Client Platform Firmware Profile, section "Event Logging"
 */
export function parseEventLog(bytes: Uint8Array): readonly LoggedEvent[] {
  const input = new LittleEndianReader(bytes)
  const first = { register: input.u32(), type: input.u32(), digest: input.take(20), data: input.take(input.u32()) }
  if (first.type !== NO_ACTION || !first.data.subarray(0, SPEC_ID.length).equals(Buffer.from(SPEC_ID))) {
    throw new AimsError('attestation.unsupported', 'the event log is not in the crypto-agile format')
  }
  const sizes = readAlgorithms(new LittleEndianReader(first.data.subarray(SPEC_ID.length)))
  const events: LoggedEvent[] = [
    { register: first.register, type: first.type, digests: new Map([['sha1', first.digest]]), data: first.data },
  ]
  const end = bytes.length - paddingLength(bytes)
  while (input.position < end) {
    if (events.length >= MAX_EVENTS) throw malformed('the event log has too many events')
    const register = input.u32()
    const type = input.u32()
    const digests = readDigests(input, sizes)
    events.push({ register, type, digests, data: input.take(input.u32()) })
  }
  return events
}

/**
 * The value each register must have when these events have extended it from zero, in the order of the log.
 *
 * @throws {@link AimsError} `attestation.malformed` when an event has no digest of this hash
 */
export function replayEventLog(events: readonly LoggedEvent[], hash: EventHash): ReadonlyMap<number, Buffer> {
  const registers = new Map<number, Buffer>()
  for (const { register, type, digests } of events) {
    if (type === NO_ACTION) continue
    const digest = digests.get(hash)
    if (digest === undefined) throw malformed('an event has no digest for the registers')
    const before = registers.get(register) ?? Buffer.alloc(digest.length)
    registers.set(register, createHash(hash).update(before).update(digest).digest())
  }
  return registers
}

// Bytes of each digest, by the id of its algorithm. Unknown algorithms can be skipped because their size is told.
function readAlgorithms(input: LittleEndianReader): ReadonlyMap<number, number> {
  input.take(8)
  const count = input.u32()
  if (count === 0 || count > MAX_ALGORITHMS) throw malformed('the event log has not 1 to 8 algorithms')
  const sizes = new Map<number, number>()
  for (let at = 0; at < count; at += 1) {
    const id = input.u16()
    const size = input.u16()
    if (sizes.has(id) || size !== (HASHES[id]?.bytes ?? size)) throw malformed('an algorithm of the event log is wrong')
    sizes.set(id, size)
  }
  return sizes
}

function readDigests(
  input: LittleEndianReader,
  sizes: ReadonlyMap<number, number>,
): ReadonlyMap<EventHash, Uint8Array> {
  const count = input.u32()
  if (count > sizes.size) throw malformed('an event has more digests than the log has algorithms')
  const seen = new Set<number>()
  const digests = new Map<EventHash, Uint8Array>()
  for (let at = 0; at < count; at += 1) {
    const id = input.u16()
    const size = sizes.get(id)
    if (size === undefined || seen.has(id)) throw malformed('a digest of an event is unknown or repeated')
    seen.add(id)
    const digest = input.take(size)
    const hash = HASHES[id]
    if (hash !== undefined) digests.set(hash.name, digest)
  }
  return digests
}

// The bytes at the end that are all 00 or all ff. An event that begins in them does not exist: it would have no digest,
// or a register that is not there. Counted once: a log can hold many events of zeros that are no padding.
function paddingLength(bytes: Uint8Array): number {
  const last = bytes.at(-1)
  if (last !== 0 && last !== 0xff) return 0
  let length = 1
  while (length < bytes.length && bytes[bytes.length - 1 - length] === last) length += 1
  return length
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
