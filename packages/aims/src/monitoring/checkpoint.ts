import { asBuffer, decodeBase64 } from '../base/bytes.ts'
import { AimsError } from '../base/errors.ts'
import { HASH_LENGTH } from './merkle.ts'
import { type VerifiedNote, type VerifierKey, verifyNote } from './note.ts'

/** What a log says it is at one size. Not signed by itself: a note is made of it. */
export interface Checkpoint {
  /** The name of the log, e.g. `example.com/audit`. */
  readonly origin: string
  /** How many records the log has. */
  readonly size: number
  /** The RFC 6962 root over them. */
  readonly root: Uint8Array
  /** Lines after the root, kept as they are and not interpreted. Our own log writes none. */
  readonly extensions: readonly string[]
}

/** A checkpoint signed by a key that was expected to. Only {@link verifyCheckpoint} makes one. */
export interface VerifiedCheckpoint extends Checkpoint {
  readonly signers: VerifiedNote['signers']
}

/** Writes the text of a checkpoint, to be signed as a note. @see C2SP tlog-checkpoint v1.0.0 */
export function formatCheckpoint({ origin, size, root, extensions }: Checkpoint): string {
  const lines = [origin, String(size), asBuffer(root).toString('base64'), ...extensions]
  const wellFormed = lines.every((line) => line !== '' && !line.includes('\n')) && root.length === HASH_LENGTH
  if (!wellFormed || !Number.isSafeInteger(size) || size < 0) throw new TypeError('not a checkpoint')
  return `${lines.join('\n')}\n`
}

/**
 * Reads the text of a checkpoint. Does not verify anything: the text comes out of a verified note.
 *
 * @throws {@link AimsError} `audit.malformed_checkpoint`
 * @see C2SP tlog-checkpoint v1.0.0, section "Note text"
 */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', count = '', base64 = '', ...extensions] = text.slice(0, -1).split('\n')
  const root = decodeBase64(base64)
  const size = /^(0|[1-9][0-9]{0,15})$/.test(count) ? Number(count) : Number.NaN
  const wellFormed = text.endsWith('\n') && origin !== '' && extensions.every((line) => line !== '')
  if (!wellFormed || !Number.isSafeInteger(size) || root?.length !== HASH_LENGTH) {
    throw new AimsError('audit.malformed_checkpoint', 'not origin, size and root hash')
  }
  return { origin, size, root, extensions }
}

/**
 * Checks a signed checkpoint: its signatures, and that it is of the log that is expected.
 *
 * Does not check that the log contains what it says, nor that it is the newest.
 *
 * @throws {@link AimsError} `audit.malformed_note`, `audit.invalid_signature`, `audit.unknown_signer`,
 *   `audit.malformed_checkpoint`, `audit.wrong_origin`
 */
export function verifyCheckpoint(
  note: string,
  expected: { readonly origin: string; readonly keys: readonly VerifierKey[] },
): VerifiedCheckpoint {
  const { text, signers } = verifyNote(note, expected.keys)
  const checkpoint = parseCheckpoint(text)
  if (checkpoint.origin !== expected.origin) {
    throw new AimsError('audit.wrong_origin', 'the checkpoint is of another log')
  }
  return { ...checkpoint, signers }
}
