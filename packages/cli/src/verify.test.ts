import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { run } from './cli.ts'
import { output } from './output.ts'

const scratch = mkdtempSync(join(tmpdir(), 'aims-verify-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

type Row = { readonly [name: string]: unknown }
interface Vector extends Row {
  readonly negative: readonly (Row & { readonly name: string; readonly code: string })[]
}

function vector(name: string): Vector {
  return JSON.parse(readFileSync(new URL(`../../../spec/vectors/${name}.json`, import.meta.url), 'utf8'))
}

let files = 0
function file(content: unknown): string {
  files += 1
  const path = join(scratch, String(files))
  writeFileSync(path, typeof content === 'string' ? `${content}\n` : JSON.stringify(content))
  return path
}

async function aims(...args: readonly string[]): Promise<{ exit: number; result: Row }> {
  let printed = ''
  const write = output.write
  output.write = (text) => {
    printed += text
  }
  try {
    const exit = await run([...args, '--json'])
    return { exit, result: JSON.parse(printed) }
  } finally {
    output.write = write
    process.exitCode = 0
  }
}

/** The command line for one case of each kind of vector. */
const COMMANDS: { readonly [kind: string]: (v: Row) => string[] } = {
  wit: (v) => ['wit', '--token', file(v.token), '--profile', String(v.profile)],
  wpt: (v) => [
    ...['wpt', '--proof', file(v.proof), '--wit', file(v.wit), '--audience', String(v.audience)],
    ...(v.headers as string[]).flatMap((header) => ['--header', header]),
  ],
  'jwt-svid': (v) => ['jwt-svid', '--token', file(v.token), '--audience', String(v.audience)],
  bundle: () => ['bundle'],
}

for (const [kind, args] of Object.entries(COMMANDS)) {
  const { negative, ...good } = vector(kind)
  const judge = (v: Row): ReturnType<typeof aims> =>
    aims(
      'verify',
      ...args(v),
      '--bundle',
      file(v.bundle),
      '--trust-domain',
      String(v.trustDomain),
      '--now',
      String(v.now),
    )

  test(`aims verify ${kind} accepts the good case of our vectors`, async () => {
    const { exit, result } = await judge(good)
    assert.equal(result.ok, true, JSON.stringify(result))
    assert.equal(exit, 0)
    assert.equal(result.subject, good.subject)
  })

  for (const { name, code, ...change } of negative) {
    test(`aims verify ${kind} refuses: ${name}`, async () => {
      const { exit, result } = await judge({ ...good, ...change })
      assert.deepEqual({ exit, ok: result.ok, code: result.code }, { exit: 1, ok: false, code })
    })
  }
}

test('a verdict never quotes the token', async () => {
  const { negative: _, ...good } = vector('wit')
  const { result } = await aims(
    ...['verify', 'wit', '--token', file(good.token), '--bundle', file(good.bundle), '--trust-domain', 'example.com'],
    ...['--now', String(good.now)],
  )
  for (const part of String(good.token).split('.')) assert.equal(JSON.stringify(result).includes(part), false)
})

// One row per way to use a command wrongly, or to fail: exit codes 2 and 3 are not verdicts.
for (const [title, exit, code, args] of [
  ['no such option', 2, 'operation.usage', ['verify', 'wit', '--nonsense']],
  ['a mandatory option is missing', 2, 'operation.usage', ['verify', 'wit', '--token', 'x']],
  ['no such command', 2, 'operation.usage', ['verify', 'nonsense']],
  [
    'a time that is none',
    2,
    'operation.usage',
    ['verify', 'bundle', '--bundle', 'x', '--trust-domain', 'a', '--now', '12'],
  ],
  [
    'a profile that is none',
    2,
    'operation.usage',
    ['verify', 'bundle', '--bundle', 'x', '--trust-domain', 'a', '--profile', 'x'],
  ],
  ['a trust domain that is none', 2, 'operation.usage', ['verify', 'bundle', '--bundle', 'x', '--trust-domain', 'A/b']],
  [
    'a file that is not there',
    3,
    'operation.input_unreadable',
    ['verify', 'bundle', '--bundle', '/nonexistent/x', '--trust-domain', 'a'],
  ],
] as const) {
  test(`exit code ${exit}: ${title}`, async () => {
    const { exit: seen, result } = await aims(...args)
    assert.deepEqual({ exit: seen, ok: result.ok, code: result.code }, { exit, ok: false, code })
  })
}
