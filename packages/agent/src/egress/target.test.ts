import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AimsError } from 'aims/base'
import fc from 'fast-check'
import { parseBrokerTarget } from './target.ts'

for (const [text, by, path, query] of [
  ['/calendar', { rule: 'calendar' }, '/', ''],
  ['/calendar/v1?a=b', { rule: 'calendar' }, '/v1', '?a=b'],
  ['/calendar?a=b', { rule: 'calendar' }, '/', '?a=b'],
  ['/https/api.example.com/v1', { host: 'api.example.com', port: 443 }, '/v1', ''],
  ['/https/api.example.com:8443', { host: 'api.example.com', port: 8443 }, '/', ''],
  ['/https/api.example.com?a', { host: 'api.example.com', port: 443 }, '/', '?a'],
  ['http://api.example.com', { host: 'api.example.com', port: 443 }, '/', ''],
  ['http://api.example.com:80/x', { host: 'api.example.com', port: 443 }, '/x', ''],
  ['https://api.example.com:8443/x?q=%2F', { host: 'api.example.com', port: 8443 }, '/x', '?q=%2F'],
  ['http://api.example.com?q', { host: 'api.example.com', port: 443 }, '/', '?q'],
] as const) {
  test(`the target ${text} is read`, () => assert.deepEqual(parseBrokerTarget(text), { by, path, query }))
}

for (const text of [
  '',
  '*',
  'calendar',
  '//evil.example.com/x',
  '/Calendar/x',
  '/%63alendar/x',
  '/https',
  '/https/',
  '/https//x',
  '/https/a.example.com//x',
  '/calendar/%2e%2e/x',
  '/calendar/a\\b',
  '/calendar/a b',
  '/calendar/x#y',
  '/calendar?a=<b>',
  '/calendar/\u00e4',
  'http://a@b.example.com/',
  'http://b.example.com\\@a.example.com/',
  'http://b.example.com#x',
  'http://[::1]/',
  'http://0x7f.1/',
  'file:///etc/passwd',
  'https://b.example.com:99999/',
  `/calendar/${'a'.repeat(9000)}`,
]) {
  test(`the target ${JSON.stringify(text.slice(0, 40))} is refused`, () =>
    assert.throws(() => parseBrokerTarget(text), { code: 'egress.target_malformed' }))
}

test('a target is read in one way, or refused', () => {
  const piece = fc.constantFrom(
    '/',
    'https',
    'http://',
    'a',
    '.',
    '..',
    ':',
    '?',
    '#',
    '%2f',
    '%41',
    '@',
    '\\',
    'example.com',
    '443',
    '&',
    ';',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece).map((all) => all.join('')),
      ),
      (text) => {
        try {
          const { by, path, query } = parseBrokerTarget(text)
          // What is read says the same when it is written down.
          const again = 'rule' in by ? `/${by.rule}${path}${query}` : `/https/${by.host}:${by.port}${path}${query}`
          assert.deepEqual(parseBrokerTarget(again), { by, path, query })
        } catch (error) {
          assert.ok(AimsError.is(error) && error.code === 'egress.target_malformed', String(error))
        }
      },
    ),
  )
})
