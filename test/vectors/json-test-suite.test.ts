import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseJson } from '../../packages/aims/src/base/json.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

const EXPECTED: { readonly [prefix: string]: Case['expected'] } = { y: 'accept', n: 'reject', i: 'either' }

// [credentials.jws.02]
suite('json-test-suite', 'suites/json-test-suite', (dir) => [
  ...files(join(dir, 'test_parsing'), (name) => EXPECTED[name.charAt(0)] ?? 'either'),
  ...files(join(dir, 'test_transform'), () => 'either'),
])

function files(dir: string, expectedOf: (name: string) => Case['expected']): readonly Case[] {
  return readdirSync(dir)
    .filter((name) => name.endsWith('.json'))
    .map(
      (name): Case => ({
        id: name,
        expected: expectedOf(name),
        run: () => outcomeOf(() => parseJson(readFileSync(join(dir, name)))),
      }),
    )
}
