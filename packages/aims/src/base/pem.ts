import { trimBlanksEnd } from './blanks.ts'
import { asBuffer, decodeBase64 } from './bytes.ts'
import { AimsError } from './errors.ts'

const MAX_PEM_LENGTH = 1_048_576
const BASE64_LINE = /^[A-Za-z0-9+/]+={0,2}$/

/** One block of a PEM file. */
export interface PemBlock {
  /** e.g. `CERTIFICATE`. */
  readonly label: string
  readonly bytes: Uint8Array
}

/**
 * Reads all blocks of a PEM text, in order. Strict inside the blocks: canonical base64, no headers, matching labels.
 * Text outside the blocks is ignored, as tools put comments there, but a stray `-----` line is not. At most 1 MiB.
 *
 * Does not look at the content of the blocks.
 *
 * @throws {@link AimsError} `pem.malformed`, also when there is no block
 * @see RFC 7468 section 3
 */
export function parsePem(text: string): readonly PemBlock[] {
  if (text.length > MAX_PEM_LENGTH) throw new AimsError('pem.malformed', 'the PEM text is larger than 1 MiB')
  const blocks: PemBlock[] = []
  let label: string | undefined
  let body: string[] = []
  for (const line of text.split(/\r\n|\n|\r/).map(trimBlanksEnd)) {
    if (label === undefined) {
      if (!line.startsWith('-----')) continue
      label = /^-----BEGIN ([A-Z0-9]+(?: [A-Z0-9]+)*)-----$/.exec(line)?.[1]
      if (label === undefined) throw new AimsError('pem.malformed', 'not a BEGIN line')
      body = []
    } else if (line === `-----END ${label}-----`) {
      blocks.push({ label, bytes: decodeBody(body) })
      label = undefined
    } else {
      body.push(line)
    }
  }
  if (label !== undefined) throw new AimsError('pem.malformed', 'a block has no END line')
  if (blocks.length === 0) throw new AimsError('pem.malformed', 'no PEM block')
  return blocks
}

function decodeBody(lines: readonly string[]): Uint8Array {
  const wellFormed = lines.every((line, i) => BASE64_LINE.test(line) && (i === lines.length - 1 || !line.endsWith('=')))
  const bytes = wellFormed ? decodeBase64(lines.join('')) : undefined
  if (bytes === undefined || bytes.length === 0) throw new AimsError('pem.malformed', 'a block is not canonical base64')
  return new Uint8Array(bytes)
}

/** Writes one PEM block with a final line end. */
export function encodePem(label: string, bytes: Uint8Array): string {
  const lines =
    asBuffer(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
