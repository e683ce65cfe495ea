import { readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'

/** What importing a subpath of a built package loads, by its static imports. */
export interface SubpathSize {
  readonly name: string
  /** Of JavaScript. */
  readonly bytes: number
  /** The same as one bundle without tree shaking or minification, compressed. */
  readonly compressed: number
  readonly files: number
}

/** The sizes of all subpaths of the package in a folder. */
export function subpathSizes(folder: string): readonly SubpathSize[] {
  const manifest: {
    readonly name: string
    readonly exports: { readonly [subpath: string]: string | { readonly default: string } }
  } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return Object.entries(manifest.exports).flatMap(([subpath, target]) => {
    if (typeof target === 'string') return []
    const files = new Set<string>()
    collect(join(folder, target.default), files)
    const bundle = Buffer.concat([...files].map((file) => readFileSync(file)))
    const compressed = gzipSync(bundle).length
    return { name: join(manifest.name, subpath), bytes: bundle.length, compressed, files: files.size }
  })
}

/** One line of a table of sizes. */
export function sizeLine({ name, bytes, compressed, files }: SubpathSize): string {
  const kibibytes = (size: number): string => `${(size / 1024).toFixed(1).padStart(7)} KiB`
  return `  ${kibibytes(bytes)}, ${kibibytes(compressed)} gzip  ${String(files).padStart(3)} files  ${name}`
}

function collect(file: string, files: Set<string>): void {
  if (files.has(file) || statSync(file, { throwIfNoEntry: false }) === undefined) return
  files.add(file)
  for (const [, specifier = ''] of readFileSync(file, 'utf8').matchAll(/^(?:import|export)\b[^']*'(\.[^']+\.js)'/gm)) {
    collect(join(dirname(file), specifier), files)
  }
}
