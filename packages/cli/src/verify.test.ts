import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { aims, file } from '../../../test/support/cli.ts'

type Row = { readonly [name: string]: unknown }
interface Vector extends Row {
  readonly negative: readonly (Row & { readonly name: string; readonly code: string })[]
}

function vector(name: string): Vector {
  return JSON.parse(readFileSync(new URL(`../../../spec/vectors/${name}.json`, import.meta.url), 'utf8'))
}

const line = (token: unknown): string => file(`${token}\n`)

async function one(...args: readonly string[]): Promise<{ exit: number; result: Row }> {
  const { exit, results } = await aims(...args)
  assert.equal(results.length, 1)
  return { exit, result: results[0] ?? {} }
}

/** The command line for one case of each kind of vector. */
const COMMANDS: { readonly [kind: string]: (v: Row) => string[] } = {
  wit: (v) => ['wit', '--token', line(v.token), '--profile', String(v.profile)],
  wpt: (v) => [
    ...['wpt', '--proof', line(v.proof), '--wit', line(v.wit), '--audience', String(v.audience)],
    ...(v.headers as string[]).flatMap((header) => ['--header', header]),
  ],
  'http-signature': (v) => ['request', '--message', file(String(v.message)), '--audience', String(v.audience)],
  'jwt-svid': (v) => ['jwt-svid', '--token', line(v.token), '--audience', String(v.audience)],
  bundle: () => ['bundle'],
}

for (const [kind, args] of Object.entries(COMMANDS)) {
  const { negative, ...good } = vector(kind)
  const judge = (v: Row): ReturnType<typeof one> =>
    one(
      'verify',
      ...args(v),
      '--bundle',
      file(v.bundle as object),
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
  const { result } = await one(
    ...[
      'verify',
      'wit',
      '--token',
      line(good.token),
      '--bundle',
      file(good.bundle as object),
      '--trust-domain',
      'example.com',
    ],
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
    const { exit: seen, result } = await one(...args)
    assert.deepEqual({ exit: seen, ok: result.ok, code: result.code }, { exit, ok: false, code })
  })
}
