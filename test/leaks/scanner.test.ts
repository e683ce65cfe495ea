import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { ENCODINGS, plant, Scanner, tokenCredentials } from './scanner.ts'

const text = Buffer.from('wk_live+7Hq2/9fXb4Tz"0LmN8sVd')
const key = randomBytes(32)
const scanner = new Scanner([
  { name: 'text', bytes: text },
  { name: 'key', bytes: key },
])

// A canary of each kind in each encoding: what is not found here would not be found in a run either.
for (const [name, bytes] of [
  ['text', text],
  ['key', key],
] as const) {
  for (const encoding of Object.keys(ENCODINGS)) {
    test(`a ${name} in ${encoding} is found`, () => {
      for (const form of plant(bytes, encoding)) {
        assert.ok(
          scanner.scan(`{"a": "${form}"}`).some((one) => one.credential === name && one.encoding === encoding),
          form,
        )
        const packed = gzipSync(Buffer.from(`<${form}>`, 'latin1')).toString('base64')
        assert.ok(
          scanner.scan(`"${packed}"`).some((one) => one.credential === name && one.encoding.startsWith(encoding)),
          packed,
        )
      }
    })
  }
}

test('bytes are found in base64 wherever they stand', () => {
  for (let before = 0; before < 6; before += 1) {
    const inside = Buffer.concat([randomBytes(before), key, randomBytes(5)])
    for (const encoding of ['base64', 'base64url'] as const)
      assert.ok(scanner.scan(inside.toString(encoding)).length > 0)
  }
})

test('the parts of a token are found; what has nothing of them is clean', () => {
  const token = `eyJ0eXAiOiJ3aXQrand0In0.${randomBytes(90).toString('base64url')}.${randomBytes(64).toString('base64url')}`
  const watching = new Scanner([])
  assert.deepEqual(watching.scan(token), [])
  watching.watch(tokenCredentials('token', token))
  const namesIn = (text: string): readonly string[] => [
    ...new Set(watching.scan(text).map(({ credential }) => credential)),
  ]
  assert.deepEqual(namesIn(token), ['token (claims)', 'token (signature)'])
  assert.deepEqual(namesIn(token.split('.')[2] ?? ''), ['token (signature)'])
  assert.deepEqual(watching.scan('eyJ0eXAiOiJ3aXQrand0In0'), [])
  assert.deepEqual(scanner.scan('the quick brown fox'.repeat(100)), [])
})
