import { asBuffer } from '../../base/bytes.ts'
import { type DerReader, TAG } from '../../base/der.ts'
import { AimsError } from '../../base/errors.ts'

const FORM = /^(\d\d|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/

/**
 * Reads a UTCTime or a GeneralizedTime with seconds and Z, of any year: some vendors write early dates in the long form.
 * Seconds since the epoch.
 *
 * @throws {@link AimsError} `attestation.malformed`, `der.*`
 */
export function readVendorTime(fields: DerReader): number {
  const isShort = fields.nextTag === TAG.utcTime
  const text = asBuffer(fields.content(isShort ? TAG.utcTime : TAG.generalizedTime)).toString('latin1')
  const match = FORM.exec(text)
  if (match === null || (match[1]?.length === 2) !== isShort) throw malformed()
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number)
  const full = isShort ? year + (year < 50 ? 2000 : 1900) : year
  const date = new Date(0)
  date.setUTCFullYear(full, month - 1, day)
  date.setUTCHours(hour, minute, second)
  const isReal = date.getUTCMonth() === month - 1 && date.getUTCDate() === day
  if (!isReal || hour > 23 || minute > 59 || second > 59) throw malformed()
  return date.getTime() / 1000
}

function malformed(): AimsError {
  return new AimsError('attestation.malformed', 'not a time with seconds in Z')
}
