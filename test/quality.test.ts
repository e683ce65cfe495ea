import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Library files that read the clock themselves, and why. All others take the time as an argument. */
const READS_THE_CLOCK: { readonly [file: string]: string } = {
  'packages/aims/src/base/clock.ts': 'this is the clock that programs pass in',
}

/** Files over 400 lines, and why they are one thing. Tests are tables, and may be long. */
const LONG_FILES: { readonly [file: string]: string } = {
  'packages/server/src/config/settings.ts': 'one table: every setting, with its type, default and meaning',
}

/** Not text that we wrote line by line. */
const GENERATED = /^(?:package-lock\.json|.*\.generated\.ts|docs\/errors\.md|docs\/configuration\.md|spec\/.*)$/

const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\0')
  .filter((file) => file !== '' && existsSync(join(root, file)))
const sources = files.filter((file) => /\.(?:ts|mjs)$/.test(file))
const library = sources.filter((file) => file.startsWith('packages/aims/src/') && !file.endsWith('.test.ts'))

function text(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

/** Files and lines that match, comments and the text of strings left out. */
function matches(among: readonly string[], pattern: RegExp): readonly string[] {
  return among.flatMap((file) =>
    text(file)
      .split('\n')
      .flatMap((line, index) => {
        const code = line
          .replace(/'(?:[^'\\]|\\.)*'/g, "''")
          .replace(/^\s*(?:\/\/|\/?\*).*$/, '')
          .replace(/\s\/\/ .*$/, '')
        return pattern.test(code) ? [`${file}:${index + 1}: ${line.trim()}`] : []
      }),
  )
}

test('the library takes the time as an argument', () => {
  const found = matches(library, /\bDate\.now\(|\bnew Date\(\)/).filter((place) => {
    return !Object.hasOwn(READS_THE_CLOCK, place.split(':')[0] ?? '')
  })
  assert.deepEqual(found, [])
})

test('there is no any, no double assertion, no export * and no default export', () => {
  assert.deepEqual(matches(sources, /(?:[:<|&,(]\s*|\bas )any\b/), [])
  assert.deepEqual(matches(sources, /\bas unknown as\b/), [])
  assert.deepEqual(matches(sources, /^export (?:\*|default\b)/), [])
  assert.deepEqual(matches(sources, /@ts-(?:ignore|nocheck)/), [])
})

test('no file names a machine or a package registry', () => {
  const home = ['/work', '/root', '/home'].map((folder) => `${folder}/`)
  const registry = ['registry', 'npmjs', 'org'].join('.')
  const found = files.filter((file) => {
    const content = text(file)
    // As the start of a path, not as a part of one: spiffe://example.com/workload is none.
    const absolute = home.some((folder) => new RegExp(`(?<![\\w.:/-])${folder}[a-z0-9]`).test(content))
    return absolute || content.includes(registry)
  })
  assert.deepEqual(found, [])
})

test('files that are long are long for a reason', () => {
  const long = sources
    .filter((file) => !GENERATED.test(file) && !file.endsWith('.test.ts') && !Object.hasOwn(LONG_FILES, file))
    .map((file) => ({ file, lines: text(file).split('\n').length }))
    .filter(({ lines }) => lines > 400)
  assert.deepEqual(long, [])
})

test('the exceptions of this file still exist', () => {
  const listed = [...Object.keys(READS_THE_CLOCK), ...Object.keys(LONG_FILES)]
  assert.deepEqual(
    listed.filter((file) => !files.includes(file)),
    [],
  )
})
