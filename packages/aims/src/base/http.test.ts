import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseHttpRequest, parseHttpResponse } from './http.ts'

const read = (text: string, options = {}) => parseHttpRequest(Buffer.from(text, 'latin1'), options)
const GET = 'GET /a?b=c HTTP/1.1\r\nHost: example.com\r\n'

test('a request is taken apart as it is, repetitions and case included', () => {
  const request = read(
    `POST /a//b/../c?x=%2F HTTP/1.1\r\nHost: h\r\nX-A:  1 \t\r\nx-a:\r\nContent-Length: 3\r\n\r\nabc`,
  )
  assert.equal(request.method, 'POST')
  assert.equal(request.target, '/a//b/../c?x=%2F')
  assert.deepEqual(request.headers, [
    ['Host', 'h'],
    ['X-A', '1'],
    ['x-a', ''],
    ['Content-Length', '3'],
  ])
  assert.equal(Buffer.from(request.body).toString(), 'abc')
})

test('a chunked body is put together', () => {
  const { body } = read(`${GET}Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n`)
  assert.equal(Buffer.from(body).toString(), 'abc0123456789')
})

test('other forms of the target are read where they belong', () => {
  assert.equal(read('OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n').target, '*')
  assert.equal(read('CONNECT example.com:443 HTTP/1.1\r\nHost: h\r\n\r\n').target, 'example.com:443')
  assert.equal(read('GET https://example.com/a HTTP/1.1\r\nHost: h\r\n\r\n').target, 'https://example.com/a')
})

const MALFORMED: readonly (readonly [string, string])[] = [
  ['nothing', ''],
  ['no end of the head', GET],
  ['lines that end with LF', GET.replaceAll('\r\n', '\n').concat('\n')],
  ['one line that ends with LF', `GET / HTTP/1.1\nHost: h\r\n\r\n`],
  ['a CR in a value', `${GET}X: a\rb\r\n\r\n`],
  ['a NUL in a value', `${GET}X: a\0b\r\n\r\n`],
  ['a folded line', `${GET}X: a\r\n b\r\n\r\n`],
  ['a blank before the colon', `${GET}X : a\r\n\r\n`],
  ['a field without a colon', `${GET}X\r\n\r\n`],
  ['a field without a name', `${GET}: a\r\n\r\n`],
  ['a name with a blank', `${GET}X Y: a\r\n\r\n`],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
  ['two Hosts', `${GET}Host: other\r\n\r\n`],
  ['HTTP/1.0', 'GET / HTTP/1.0\r\nHost: h\r\n\r\n'],
  ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: h\r\n\r\n'],
  ['HTTP/0.9', 'GET /\r\n\r\n'],
  ['two blanks in the request line', 'GET  / HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a target with a blank', 'GET /a b HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a target with a fragment', 'GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['a target that is none', 'GET a HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['* for GET', 'GET * HTTP/1.1\r\nHost: h\r\n\r\n'],
  ['an empty line in front', `\r\n${GET}\r\n`],
  ['bytes behind a request without a body', `${GET}\r\nGET / HTTP/1.1`],
  ['a body that is too short', `${GET}Content-Length: 4\r\n\r\nabc`],
  ['a body that is too long', `${GET}Content-Length: 2\r\n\r\nabc`],
  ['a length with a sign', `${GET}Content-Length: +3\r\n\r\nabc`],
  ['a length with a zero in front', `${GET}Content-Length: 03\r\n\r\nabc`],
  ['a length in hexadecimal', `${GET}Content-Length: 0x3\r\n\r\nabc`],
  ['a list of lengths', `${GET}Content-Length: 3, 3\r\n\r\nabc`],
  ['two lengths', `${GET}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`],
  ['length and coding', `${GET}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['another coding', `${GET}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['a coding with something behind', `${GET}Transfer-Encoding: chunked;a\r\n\r\n0\r\n\r\n`],
  ['two codings', `${GET}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['a chunk extension', `${GET}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n`],
  ['a chunk size with a sign', `${GET}Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n`],
  ['a chunk size that is huge', `${GET}Transfer-Encoding: chunked\r\n\r\nfffffffff\r\nabc\r\n0\r\n\r\n`],
  ['a chunk that is longer than it says', `${GET}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n`],
  ['chunks that end with LF', `${GET}Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n`],
  ['chunks without an end', `${GET}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`],
  ['trailers', `${GET}Transfer-Encoding: chunked\r\n\r\n0\r\nX: a\r\n\r\n`],
  ['bytes behind the last chunk', `${GET}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET`],
]

for (const [what, text] of MALFORMED) {
  test(`refuses ${what}`, () => assert.throws(() => read(text), { name: 'AimsError', code: 'http.malformed' }))
}

test('refuses what is too large', () => {
  const code = 'http.too_large'
  assert.throws(() => read(`${GET}X: ${'a'.repeat(17_000)}\r\n\r\n`), { code })
  assert.throws(() => read(`${GET}${'X: a\r\n'.repeat(100)}\r\n`), { code })
  assert.throws(() => read(`${GET}Content-Length: 3\r\n\r\nabc`, { maxBody: 2 }), { code })
})

test('a file may end its lines with LF, and its body where it ends', () => {
  const file = { isFile: true }
  const request = read('POST /path HTTP/1.1\nX: a\n\n{"do stuff":"please"}\n', file)
  assert.deepEqual(request.headers, [['X', 'a']])
  assert.equal(Buffer.from(request.body).toString(), '{"do stuff":"please"}\n')
  assert.equal(read(`${GET}\r\nrest`, file).body.length, 4)
  for (const text of [
    'POST / HTTP/1.1\nX: a\r\n\r\n',
    'POST / HTTP/1.1\r\nX: a\n\n',
    'POST / HTTP/1.1\nX: a\n b\n\n',
  ]) {
    assert.throws(() => read(text, file), { code: 'http.malformed' }, JSON.stringify(text))
  }
  assert.throws(() => read('POST / HTTP/1.1\nContent-Length: 2\n\nabc', file), { code: 'http.malformed' })
})

// One row per way in which editors leave a file, and what comes of it on a connection.
for (const [what, text, body] of [
  ['the empty line is gone', 'GET / HTTP/1.1\r\nHost: h\r\n', ''],
  ['the empty line is gone, with LF', 'GET / HTTP/1.1\nHost: h\n', ''],
  ['the last line end is gone', 'GET / HTTP/1.1\r\nHost: h', ''],
  ['a line end follows the body', `${GET}Content-Length: 3\r\n\r\nabc\r\n`, 'abc'],
  ['LF follows the body', `${GET}Content-Length: 3\r\n\r\nabc\n`, 'abc'],
  ['LF is part of the body', `${GET}Content-Length: 4\r\n\r\nabc\n`, 'abc\n'],
] as const) {
  test(`in a file ${what}`, () => {
    assert.equal(Buffer.from(read(text, { isFile: true }).body).toString(), body)
    if (!text.includes('Length: 4')) assert.throws(() => read(text), { code: 'http.malformed' })
  })
}

test('a file is no excuse for a body of another length, or a head that is cut', () => {
  for (const text of [
    `${GET}Content-Length: 3\r\n\r\nab`,
    `${GET}Content-Length: 3\r\n\r\nabc\n\n`,
    `${GET}Content-Length: 3\r\n\r\nabc `,
    'GET / HTTP/1.1\r\nHost',
    'GET / HTTP/1.1\r\nHost: h\r',
    'GET / HTTP/1.1\nX: a\n b\n',
    '',
    '\n',
  ]) {
    assert.throws(() => read(text, { isFile: true }), { code: 'http.malformed' }, JSON.stringify(text))
  }
})

test('any bytes are either a request or refused with a code', () => {
  const piece = fc.constantFrom(
    'GET',
    ' ',
    '/',
    'HTTP/1.1',
    '\r\n',
    '\n',
    'Host: h',
    'Content-Length: 1',
    'Transfer-Encoding: chunked',
    '0',
    '1',
    'a',
    ':',
    '\t',
  )
  fc.assert(
    fc.property(
      fc.array(piece).map((pieces) => pieces.join('')),
      fc.boolean(),
      (text, isFile) => {
        try {
          assert.match(read(text, { isFile }).method, /^[^\s:]+$/)
        } catch (error) {
          assert.match((error as { code: string }).code, /^http\./)
        }
      },
    ),
    { numRuns: 2000 },
  )
})

const response = (text: string, options: Parameters<typeof parseHttpResponse>[1] = {}) =>
  parseHttpResponse(Buffer.from(text, 'latin1'), options)

test('reads a response whose length is told, and one that ends with the connection', () => {
  for (const [text, body] of [
    ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab', 'ab'],
    ['HTTP/1.1 404 \r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n', 'ab'],
    ['HTTP/1.1 200\r\n\r\nrest', 'rest'],
  ] as const) {
    assert.equal(Buffer.from(response(text).body).toString(), body)
  }
  assert.deepEqual(response('HTTP/1.1 204 No\nX: a\n', { isFile: true }), {
    status: 204,
    headers: [['X', 'a']],
    body: Buffer.alloc(0),
  })
})

test('refuses responses that two readers could understand in two ways', () => {
  for (const [text, code] of [
    ['HTTP/1.0 200 OK\r\n\r\n', 'http.malformed'],
    ['HTTP/1.1 20 OK\r\n\r\n', 'http.malformed'],
    ['HTTP/1.1 600 OK\r\n\r\n', 'http.malformed'],
    ['HTTP/1.1  200 OK\r\n\r\n', 'http.malformed'],
    ['HTTP/1.1 200 OK\r\nX : a\r\n\r\n', 'http.malformed'],
    ['HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n', 'http.malformed'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab', 'http.malformed'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab', 'http.malformed'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nab', 'http.malformed'],
    ['GET / HTTP/1.1\r\nHost: h\r\n\r\n', 'http.malformed'],
  ] as const) {
    assert.throws(() => response(text), { code }, JSON.stringify(text))
  }
  assert.throws(() => response(`HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(11)}`, { maxBody: 10 }), { code: 'http.too_large' })
})
