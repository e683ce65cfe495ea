import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scrubText } from 'aims/base'
import { givenTokens } from './given-tokens.ts'

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const token = (serial: number, exp?: number): string =>
  `${encode({ alg: 'ES256' })}.${encode({ sub: 'spiffe://example.com/a', exp })}.${Buffer.alloc(64, `${serial} `.padEnd(8, 'x')).toString('base64url')}`
const signatureOf = (text: string): string => text.split('.')[2] ?? ''

test('a token is known until it ends, and the newest 256 of those that live [provisioning.egress.06]', () => {
  let now = 1000
  const given = givenTokens(() => now)
  const isKnown = (one: string): boolean => !scrubText(one, given.tables()).includes(signatureOf(one).slice(0, 20))
  const [short, long, endless] = [token(1, 1060), token(2, 2000), token(3)]
  for (const one of [short, long, endless, long]) given.add(one)
  assert.deepEqual([short, long, endless, token(4)].map(isKnown), [true, true, true, false])
  now = 1060
  given.add(token(4, 2000))
  assert.deepEqual([short, long, endless, token(4)].map(isKnown), [false, true, true, true])
  for (let serial = 5; serial <= 257; serial += 1) given.add(token(serial, 2000))
  assert.deepEqual([long, endless, token(257)].map(isKnown), [true, true, true])
  given.add(token(258, 2000))
  assert.deepEqual([long, endless, token(258)].map(isKnown), [false, true, true])
})
