import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { AimsError } from '../base/errors.ts'
import { parseCheckpoint } from './checkpoint.ts'
import { LABEL, LogStore } from './log-store.ts'
import { parseUnverifiedNote } from './note.ts'
import type { AuditReader } from './reader.ts'
import { MAX_RECORD_LENGTH } from './record.ts'
import { TILE_WIDTH, tilePath, tilesOf } from './tiles.ts'
import type { LogSource } from './verify.ts'

/** A source that must be closed. */
export interface OpenLogSource extends LogSource, Disposable {}

/**
 * The log in a SQLite file, as it is at this moment; its writer may go on. SQLite's own check of the file comes first,
 * so that searches find what the records say.
 *
 * @throws {@link AimsError} `storage.*`
 */
export function databaseSource(path: string): OpenLogSource {
  const store = new LogStore(path, { readOnly: true })
  try {
    store.freeze()
    if (!store.isWhole()) throw new AimsError('storage.corrupt', `${LABEL}: the database file is damaged`)
    return {
      vkey: store.vkey() ?? '',
      records: () => store.records(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
      tile: store.tile,
      checkpoints: () => store.checkpoints(),
      [Symbol.dispose]: () => store.close(),
    }
  } catch (error) {
    store.close()
    throw error
  }
}

/**
 * Writes a log as files that anyone can check: `vkey`, `checkpoint` (a signed note), `records.jsonl` (the record of
 * each line is hashed without its line feed) and `tile/` as tlog-tiles has it. Exports what the newest checkpoint
 * covers, also while the log grows.
 *
 * @param folder - must not exist yet
 * @throws {@link AimsError} `storage.unwritable`, `audit.missing_checkpoint`
 * @see C2SP tlog-tiles
 */
export function exportLog(log: AuditReader, folder: string): { readonly size: number } {
  const checkpoint = log.checkpoint()
  const { size } = parseCheckpoint(parseUnverifiedNote(checkpoint).text)
  if (existsSync(folder)) throw new AimsError('storage.unwritable', 'the folder to export to exists already')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'vkey'), `${log.vkey}\n`)
  writeFileSync(join(folder, 'checkpoint'), checkpoint)
  writeFileSync(join(folder, 'records.jsonl'), '')
  for (let from = 0; from < size; from += TILE_WIDTH) {
    const lines = log.read(from, Math.min(from + TILE_WIDTH, size)).flatMap(({ bytes }) => [bytes, LINE_FEED])
    writeFileSync(join(folder, 'records.jsonl'), Buffer.concat(lines), { flag: 'a' })
  }
  for (const { level, index, width } of tilesOf(size)) {
    const path = join(folder, tilePath(level, index, width))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, log.tile(level, index, width))
  }
  return { size }
}

const LINE_FEED = Buffer.from('\n')

/**
 * The log in a folder that {@link exportLog} wrote.
 *
 * @throws {@link AimsError} `storage.unwritable` when a file is missing, and from its functions `audit.*`
 */
export function folderSource(folder: string): LogSource {
  const vkey = readFile(folder, 'vkey').toString()
  const checkpoint = readFile(folder, 'checkpoint').toString()
  const size = sizeClaimed(checkpoint)
  return {
    vkey: vkey.replace(/\n$/, ''),
    records: () => readLines(folder, 'records.jsonl'),
    checkpoints: () => [checkpoint],
    tile: (level, index) => {
      const width = Math.min(TILE_WIDTH, Math.floor(size / TILE_WIDTH ** level) - index * TILE_WIDTH)
      const path = join(folder, tilePath(level, index, width))
      return existsSync(path) ? readFileSync(path) : undefined
    },
  }
}

// Only to find the files: what is found there is compared with the signed checkpoint afterwards.
function sizeClaimed(checkpoint: string): number {
  try {
    return parseCheckpoint(parseUnverifiedNote(checkpoint).text).size
  } catch {
    return 0
  }
}

function readFile(folder: string, name: string): Buffer {
  return reading(name, () => readFileSync(join(folder, name)))
}

function reading<T>(name: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new AimsError('storage.unwritable', `the exported log has no readable file ${name}`, { cause })
  }
}

function* readLines(folder: string, name: string): Generator<{ bytes: Uint8Array }> {
  const file = reading(name, () => openSync(join(folder, name), 'r'))
  try {
    const chunk = Buffer.alloc(65_536)
    let rest = Buffer.alloc(0)
    for (let length = readSync(file, chunk); length > 0; length = readSync(file, chunk)) {
      let data = Buffer.concat([rest, chunk.subarray(0, length)])
      for (let end = data.indexOf(10); end !== -1; end = data.indexOf(10)) {
        yield { bytes: data.subarray(0, end) }
        data = data.subarray(end + 1)
      }
      if (data.length > MAX_RECORD_LENGTH) throw new AimsError('audit.malformed_record', 'a line is too long')
      rest = data
    }
    if (rest.length > 0) throw new AimsError('audit.malformed_record', 'the last line does not end')
  } finally {
    closeSync(file)
  }
}
