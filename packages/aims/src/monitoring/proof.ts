import { asBuffer, decodeBase64 } from '../base/bytes.ts'
import { AimsError } from '../base/errors.ts'
import { verifyCheckpoint } from './checkpoint.ts'
import { HASH_LENGTH, leafHash, verifyInclusion } from './merkle.ts'
import { parseVerifierKey } from './note.ts'

/** What shows that a record is in the log: kept beside the record, it is checked without the log. */
export interface InclusionReceipt {
  readonly index: number
  /** From the sibling of the leaf up. */
  readonly hashes: readonly Uint8Array[]
  /** The signed checkpoint of the tree the hashes lead to. */
  readonly checkpoint: string
}

const HEADER = 'c2sp.org/tlog-proof@v1'

/** Writes a receipt as text, for a file `NAME.tlog-proof`. @see C2SP tlog-proof v1 */
export function formatReceipt({ index, hashes, checkpoint }: InclusionReceipt): string {
  const path = hashes.map((hash) => `${asBuffer(hash).toString('base64')}\n`)
  return `${HEADER}\nindex ${index}\n${path.join('')}\n${checkpoint}`
}

/**
 * Reads a receipt. A line of extra data is passed over. Does not verify anything.
 *
 * @throws {@link AimsError} `audit.malformed_proof`
 * @see C2SP tlog-proof v1
 */
export function parseUnverifiedReceipt(text: string): InclusionReceipt {
  const middle = text.indexOf('\n\n')
  const [header, ...lines] = text.slice(0, middle).split('\n')
  if (lines[0]?.startsWith('extra ') && decodeBase64(lines[0].slice(6)) !== undefined) lines.shift()
  const [, index] = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() ?? '') ?? []
  const hashes = lines.map(decodeBase64).filter((hash) => hash !== undefined)
  const wellFormed = hashes.length === lines.length && hashes.every(({ length }) => length === HASH_LENGTH)
  // 63 levels hold more records than a size can count.
  const bounded = hashes.length <= 63 && Number.isSafeInteger(Number(index))
  if (middle === -1 || header !== HEADER || index === undefined || !wellFormed || !bounded) {
    throw new AimsError('audit.malformed_proof', 'not header, index, hashes and checkpoint')
  }
  return { index: Number(index), hashes, checkpoint: text.slice(middle + 2) }
}

/** What an outsider knows about a log: its name and its key. None of it may come from the receipt. */
export interface KnownLog {
  /** The verifier key, `name+id+key`. */
  readonly vkey: string
  /** Default: the name of the key. */
  readonly origin?: string
}

/**
 * Checks, with no server, that the log has signed a tree with exactly this record in it.
 *
 * Does not check what the record says, nor that the log shows the same tree to everyone.
 *
 * @param record - the bytes of the record as they were exported
 * @returns where it is, and the size of the tree that was signed
 * @throws {@link AimsError} `audit.malformed_proof`, `audit.malformed_key`, `audit.proof_mismatch`, and those of
 *   {@link verifyCheckpoint}
 */
export function verifyReceipt(
  record: Uint8Array,
  receipt: string | InclusionReceipt,
  log: KnownLog,
): { readonly index: number; readonly size: number } {
  const { index, hashes, checkpoint } = typeof receipt === 'string' ? parseUnverifiedReceipt(receipt) : receipt
  const key = parseVerifierKey(log.vkey)
  const { size, root } = verifyCheckpoint(checkpoint, { origin: log.origin ?? key.name, keys: [key] })
  if (!verifyInclusion({ index, size, leaf: leafHash(record), root, proof: hashes })) {
    throw new AimsError('audit.proof_mismatch', 'the proof does not lead from the record to the signed root')
  }
  return { index, size }
}
