import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AimsError } from '../base/errors.ts'
import { canonicalPath } from './path.ts'

test('a plain path is returned as it came, without its query', () => {
  for (const [target, path] of [
    ['/', '/'],
    ['/api/v1/events', '/api/v1/events'],
    ['/api/v1/events?limit=3&path=//../x', '/api/v1/events'],
    ['/v1/rooms:search', '/v1/rooms:search'],
    ['/files/a%20b', '/files/a%20b'],
    ['/caf%C3%A9', '/caf%C3%A9'],
    ['/a.b/..c/...', '/a.b/..c/...'],
    ['/trailing/', '/trailing/'],
    ['/%40me', '/%40me'],
  ] as const) {
    assert.equal(canonicalPath(target), path)
  }
})

// Each row is a path that two servers would read as two different resources.
for (const [why, target] of [
  ['is empty', ''],
  ['is only a query', '?a=b'],
  ['does not start with a slash', 'api/v1'],
  ['is the asterisk form', '*'],
  ['is the absolute form', 'https://example.com/api'],
  ['starts with two slashes', '//example.com/api'],
  ['has an empty segment', '/api//v1'],
  ['ends with two slashes', '/api//'],
  ['has a dot segment', '/api/./v1'],
  ['ends with a dot segment', '/api/.'],
  ['goes up', '/api/../admin'],
  ['ends by going up', '/api/..'],
  ['goes up with a path parameter', '/api/..;x=1/admin'],
  ['has a dot with a path parameter', '/api/.;/admin'],
  ['goes up with an encoded path parameter', '/api/..%3B/admin'],
  ['has a path parameter, which Tomcat takes out', '/api/admin;x/users'],
  ['has an encoded semicolon, which nginx decodes where it rewrites', '/api/admin%3Bx/users'],
  ['ends with a path parameter', '/api/admin;jsessionid=1'],
  ['has an encoded slash', '/api%2Fadmin'],
  ['has an encoded dot', '/api/%2E%2E/admin'],
  ['has one encoded dot of two', '/api/.%2E/admin'],
  ['has an encoded backslash', '/api%5Cadmin'],
  ['has a backslash', '/api\\admin'],
  ['has an encoded percent sign', '/api%252Fadmin'],
  ['has an encoded letter', '/%61pi'],
  ['has an encoded digit', '/api/v%31'],
  ['has an encoded tilde', '/%7Euser'],
  ['has an escape in lower case', '/caf%c3%a9'],
  ['has half an escape', '/api%2'],
  ['has a percent sign alone', '/100%'],
  ['has an escape that is not hexadecimal', '/api%ZZ'],
  ['has an encoded NUL', '/api%00'],
  ['has an encoded line feed', '/api%0A'],
  ['has an encoded DEL', '/api%7F'],
  ['has a NUL', '/api\0'],
  ['has a line feed', '/api\nadmin'],
  ['has a tab', '/api\t'],
  ['has a space', '/api v1'],
  ['has a raw non-ASCII letter', '/café'],
  ['has a full-width slash', '/api／admin'],
  ['has an overlong encoded slash', '/api%C0%AFadmin'],
  ['has a lone continuation byte', '/api%80'],
  ['has an encoded surrogate', '/api%ED%A0%80'],
  ['has a fragment', '/api#x'],
  ['has a character that no URI has', '/api|v1'],
] as const) {
  test(`a path that ${why} is refused`, () => {
    assert.throws(() => canonicalPath(target), { code: 'authorization.ambiguous_path' })
  })
}

test('a path of 2049 characters is refused, one of 2048 is not', () => {
  assert.equal(canonicalPath(`/${'a'.repeat(2047)}`).length, 2048)
  assert.throws(() => canonicalPath(`/${'a'.repeat(2048)}`), { code: 'authorization.path_too_long' })
})

test('any text is returned unchanged up to its query, and then URL agrees on the path, or refused with a code', () => {
  const part = fc.constantFrom('/', '.', '..', '%2e', '%2F', '%41', 'a', ';', '\\', '%25', ':', '?', '#', '%C3%A9', ' ')
  const target = fc.oneof(
    fc.string(),
    fc.array(part).map((parts) => `/${parts.join('')}`),
  )
  fc.assert(
    fc.property(target, (text) => {
      let path: string
      try {
        path = canonicalPath(text)
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code.startsWith('authorization.'))
        return
      }
      assert.equal(path, text.split('?')[0])
      // The WHATWG parser resolves dots and turns backslashes: it finds nothing to change here.
      assert.equal(new URL(path, 'https://example.com').pathname, path)
    }),
    { numRuns: 2000 },
  )
})
