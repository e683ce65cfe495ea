import { createHash } from 'node:crypto'
import { asBuffer } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { HASH_SIZE, type TpmHash } from './algorithms.ts'
import { type LoggedEvent, NO_ACTION, parseEventLog } from './event-log.ts'
import type { PcrValues } from './pcrs.ts'

const MAX_LOG = 262_144
const LOCALITY = Buffer.from('StartupLocality\0')

/**
 * Reads a boot log of at most 256 KiB, extends PCRs as it says, and checks that quoted PCRs have the values that come
 * out. What is returned are the events of quoted PCRs with the digests of quoted banks only: nobody vouches for the rest,
 * and for the types of events not at all.
 *
 * @throws {@link AimsError} `attestation.inconsistent`, `.malformed`, `.unsupported`, `.too_large`
 * @see TCG PC Client Platform Firmware Profile 1.05, section 10
 */
export function replayBootLog(bytes: Uint8Array, quoted: PcrValues): readonly LoggedEvent[] {
  if (bytes.length > MAX_LOG) throw new AimsError('attestation.too_large', `a boot log has at most ${MAX_LOG} bytes`)
  return vouchedEvents(parseEventLog(bytes), quoted)
}

/** The second half of {@link replayBootLog}. */
export function vouchedEvents(events: readonly LoggedEvent[], quoted: PcrValues): readonly LoggedEvent[] {
  const vouched = new Map<LoggedEvent, Map<TpmHash, Uint8Array>>()
  for (const [name, value] of quoted) {
    const [bank, index] = name.split(':') as [TpmHash, string]
    const own = events.filter(({ register }) => register === Number(index))
    const extending = own.filter(({ type }) => type !== NO_ACTION)
    if (extending.length === 0) continue
    if (!asBuffer(value).equals(replay(own, bank))) {
      throw new AimsError('attestation.inconsistent', 'the event log does not lead to the quoted PCRs')
    }
    for (const event of extending) {
      const digests = vouched.get(event) ?? new Map<TpmHash, Uint8Array>()
      vouched.set(event, digests.set(bank, event.digests.get(bank) as Uint8Array))
    }
  }
  return events.flatMap((event) => {
    const digests = vouched.get(event)
    return digests === undefined ? [] : [{ ...event, digests }]
  })
}

/** True when the digest that was extended is that of the data: only then do the data count. SHA-1 does not. */
export function isDigestOfData({ digests, data }: LoggedEvent): boolean {
  const strong = [...digests].filter(([hash]) => hash !== 'sha1')
  return strong.length > 0 && strong.every(([hash, digest]) => createHash(hash).update(data).digest().equals(digest))
}

function replay(events: readonly LoggedEvent[], bank: TpmHash): Buffer {
  let value = Buffer.alloc(HASH_SIZE[bank])
  let isExtended = false
  for (const event of events) {
    if (event.type === NO_ACTION) {
      const locality = findStartupLocality(event)
      if (locality !== undefined && !isExtended) value[value.length - 1] = locality
      continue
    }
    const digest = event.digests.get(bank)
    if (digest === undefined) throw new AimsError('attestation.inconsistent', 'the event log lacks a quoted bank')
    value = createHash(bank).update(value).update(digest).digest()
    isExtended = true
  }
  return value
}

// PCR 0 begins with the locality from which the machine was started.
function findStartupLocality({ register, data }: LoggedEvent): number | undefined {
  const isLocality = register === 0 && data.length === LOCALITY.length + 1
  return isLocality && asBuffer(data).subarray(0, -1).equals(LOCALITY) ? data.at(-1) : undefined
}
