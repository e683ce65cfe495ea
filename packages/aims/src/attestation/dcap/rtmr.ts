import { asBuffer } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { NO_ACTION, parseEventLog, replayEventLog } from '../tpm/event-log.ts'
import { hex } from './signature.ts'

/** An event whose digest is part of a signed register. */
export interface MeasuredEvent {
  /** 0 to 3. */
  readonly rtmr: number
  readonly type: number
  /** SHA-384, hex. */
  readonly digest: string
}

/**
 * Replays the event log of a TDX guest (CCEL) and compares it with the signed RTMRs. What the digests stand for is not
 * looked at: the data of an event may say anything.
 *
 * A log that stops before the guest extended a register itself does not fit either: collect both at one time.
 *
 * @throws {@link AimsError} `attestation.inconsistent`, `.malformed`, `.unsupported`
 * @see Intel TDX Virtual Firmware Design Guide, section "Measurement"
 */
export function replayRtmrs(log: Uint8Array, rtmrs: readonly Uint8Array[]): readonly MeasuredEvent[] {
  const events = parseEventLog(log)
  const registers = replayEventLog(events, 'sha384')
  const isWhole = rtmrs.every((value, at) => asBuffer(value).equals(registers.get(at + 1) ?? Buffer.alloc(48)))
  const isKnown = [...registers.keys()].every((register) => register <= rtmrs.length)
  if (!isWhole || !isKnown) {
    throw new AimsError('attestation.inconsistent', 'the event log does not lead to the registers of the quote')
  }
  return events
    .filter(({ type, register }) => type !== NO_ACTION && register > 0)
    .map(({ register, type, digests }) => ({
      rtmr: register - 1,
      type,
      digest: hex(digests.get('sha384') as Uint8Array),
    }))
}
