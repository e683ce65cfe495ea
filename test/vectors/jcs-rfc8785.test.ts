import { createHash, hash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { canonicalJson } from '../../packages/aims/src/base/jcs.ts'
import { parseJson } from '../../packages/aims/src/base/json.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

suite('jcs-rfc8785', 'suites/jcs-rfc8785', (dir) => {
  const files = readdirSync(join(dir, 'input')).map((file): Case => {
    const name = file.replace('.json', '')
    return {
      id: name,
      expected: 'accept',
      run: () =>
        outcomeOf(() => {
          const text = canonicalJson(parseJson(readFileSync(join(dir, 'input', file))))
          same(text, readFileSync(join(dir, 'output', file), 'utf8'))
          same(
            Buffer.from(text).toString('hex'),
            readFileSync(join(dir, 'outhex', `${name}.txt`), 'utf8').replace(/\s/g, ''),
          )
        }),
    }
  })
  const readme = readFileSync(join(dir, 'UPSTREAM-README.md'), 'utf8')
  const longest = process.env.CI === undefined ? 100_000 : 1_000_000
  const series = [...readme.matchAll(/^\| ([0-9a-f]{64}) \| (\d+) /gm)]
    .map(([, digest, lines]) => ({ digest, lines: Number(lines) }))
    .filter(({ lines }) => lines <= longest)
    .map(
      ({ digest, lines }): Case => ({
        id: `es6-numbers-${lines}`,
        expected: 'accept',
        run: () => outcomeOf(() => same(numberSeriesDigest(readme, lines), digest)),
      }),
    )
  if (series.length < 3) throw new Error('the table of digests was not found')
  return [...files, ...series]
})

function same(actual: string, expected: string | undefined): void {
  if (actual !== expected) throw new Error('differs from the expected output')
}

// The series that UPSTREAM-README.md describes: its listed values, 2000 neighbours of the smallest normal number,
// and then what SHA-256 makes of its own output, four doubles at a time.
function numberSeriesDigest(readme: string, lines: number): string {
  const listed = [...readme.matchAll(/0x([0-9a-f]{16})n,/g)].map(([, hex]) => BigInt(`0x${hex}`))
  const smallest = 0x0010_0000_0000_0000n
  const given = [...listed, ...Array.from({ length: 2000 }, (_, i) => smallest + BigInt(i))]
  const digest = createHash('sha256')
  const view = new DataView(new ArrayBuffer(8))
  let block: Buffer = Buffer.alloc(32)
  let offset = 32
  for (let line = 0; line < lines; line += 1) {
    const start = given[line]
    if (start !== undefined) view.setBigUint64(0, start)
    else {
      do {
        if (offset === 32) {
          block = hash('sha256', block, 'buffer')
          offset = 0
        }
        view.setBigUint64(0, block.readBigUInt64LE(offset))
        offset += 8
      } while (view.getFloat64(0) === 0 || !Number.isFinite(view.getFloat64(0)))
    }
    digest.update(`${view.getBigUint64(0).toString(16)},${canonicalJson(view.getFloat64(0))}\n`)
  }
  return digest.digest('hex')
}
