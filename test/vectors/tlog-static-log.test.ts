import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AimsError } from '../../packages/aims/src/base/errors.ts'
import { parseCheckpoint } from '../../packages/aims/src/monitoring/checkpoint.ts'
import { CompactTree, leafHash } from '../../packages/aims/src/monitoring/merkle.ts'
import { parseUnverifiedNote } from '../../packages/aims/src/monitoring/note.ts'
import { subtreesOf, tilePath, tilesOf } from '../../packages/aims/src/monitoring/tiles.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

type Files = (path: string) => Buffer | undefined

// A log that another program wrote, at 16 sizes: checkpoint, tiles and entries belong together, and with any byte changed
// do not. The tiles of the other log in the folder are placeholders ("fake full level 0 tile"), so it is not run.
suite('tlog-static-log', 'suites/tlog-static-log', (dir) =>
  Array.from({ length: 16 }, (_, size) => casesFor(join(dir, 'tessera/log'), `checkpoint.${size}`)).flat(),
)

function casesFor(log: string, checkpoint: string): Case[] {
  const read: Files = (path) => (existsSync(join(log, path)) ? readFileSync(join(log, path)) : undefined)
  const note = read(checkpoint)?.toString() ?? ''
  const { size } = parseCheckpoint(parseUnverifiedNote(note).text)
  const id = `${size} records of ${note.slice(0, note.indexOf('\n'))}`
  const whole: Case = { id, expected: 'accept', run: () => outcomeOf(() => check(note, read)) }
  const paths = [...tilesOf(size)].map(({ level, index, width }) => tilePath(level, index, width))
  const flipped = paths.flatMap((path) => {
    const bytes = read(path) ?? Buffer.alloc(0)
    return Array.from(bytes, (byte, at): Case => {
      const changed = Buffer.from(bytes).fill(byte ^ (at % 255 || 1), at, at + 1)
      const other: Files = (wanted) => (wanted === path ? changed : read(wanted))
      return { id: `${id}, ${path} byte ${at}`, expected: 'reject', run: () => outcomeOf(() => check(note, other)) }
    })
  })
  return [whole, ...flipped]
}

function check(note: string, read: Files): void {
  const { size, root } = parseCheckpoint(parseUnverifiedNote(note).text)
  const tiles = new Map(
    [...tilesOf(size)].map(({ level, index, width }) => [`${level} ${index}`, tilePath(level, index, width)]),
  )
  const tree = CompactTree.load(
    size,
    subtreesOf((level, index) => read(tiles.get(`${level} ${index}`) ?? '')),
  )
  if (!Buffer.from(root).equals(tree.root())) throw new AimsError('audit.forked', 'not the root of the checkpoint')
  const leaves = new CompactTree()
  for (const { level, index, width } of tilesOf(size)) {
    const hashes = level === 0 ? read(tilePath(0, index, width)) : undefined
    for (let at = 0; at < (hashes?.length ?? 0); at += 32) leaves.append(hashes?.subarray(at, at + 32) ?? root)
    const bundle = read(tilePath(0, index, width).replace('tile/0', 'tile/entries'))
    if (level !== 0 || bundle === undefined) continue
    const entries = entriesOf(bundle).map(leafHash)
    if (!Buffer.concat(entries).equals(hashes ?? root)) throw new AimsError('audit.hash_mismatch', 'not the entries')
  }
  if (!Buffer.from(root).equals(leaves.root())) throw new AimsError('audit.forked', 'not the root of the leaves')
}

// tlog-tiles: each entry behind its length, two bytes.
function entriesOf(bundle: Buffer): Buffer[] {
  const entries: Buffer[] = []
  for (let at = 0; at < bundle.length; ) {
    const end = at + 2 + bundle.readUInt16BE(at)
    entries.push(bundle.subarray(at + 2, end))
    at = end
  }
  return entries
}
