import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assertRefused } from '../../../../../test/support/tokens.ts'
import type { JwsAlgorithm } from '../../base/algorithms.ts'
import { verificationKey, WorkloadKey } from '../../base/keys.ts'
import { type Component, component } from './components.ts'
import type { RequestMessage, ResponseMessage } from './message.ts'
import { signMessageLocally } from './sign.ts'
import { readDictionaries, readSignatures, signatureBase, toParameters } from './signature.ts'
import { readUsualForm } from './usual-form.ts'
import { type SignatureExpectations, verifySignature } from './verify.ts'

const NOW = 1_700_000_000
const key = WorkloadKey.generate()

const REQUEST: RequestMessage = {
  method: 'POST',
  target: '/a/b%2Fc?x=1&name=a%20b&name2=%C3%A9&twice=1&twice=2',
  scheme: 'https',
  headers: [
    ['Host', 'Example.COM:443'],
    ['X-Two', ' one '],
    ['x-two', '\ttwo'],
    ['X-Folded', 'one\r\n   two'],
    ['X-Empty', ''],
    ['Cache-Control', 'max-age=60,   must-revalidate'],
    ['Dict', 'a=1, b=(x  y);z, c;d=1'],
    ['X-Wide', 'caf\u00e9'],
    ['X-Lines', 'a\nb: c'],
  ],
  trailers: [['Expires', 'never']],
}
const RESPONSE: ResponseMessage = { status: 503, headers: [['Content-Type', 'text/plain']], request: REQUEST }

const value = (covered: Component, message: RequestMessage | ResponseMessage = REQUEST): string =>
  signatureBase([covered], '()', message)
    .split('\n')[0]
    ?.slice(covered.identifier.length + 2) ?? ''

const VALUES: readonly (readonly [Component, string])[] = [
  [component('@method'), 'POST'],
  [component('@path'), '/a/b%2Fc'],
  [component('@query'), '?x=1&name=a%20b&name2=%C3%A9&twice=1&twice=2'],
  [component('@request-target'), REQUEST.target],
  [component('@authority'), 'example.com'],
  [component('@scheme'), 'https'],
  [component('@target-uri'), `https://example.com${REQUEST.target}`],
  [component('@query-param', { name: 'name' }), 'a%20b'],
  [component('@query-param', { name: 'name2' }), '%C3%A9'],
  [component('x-two'), 'one, two'],
  [component('x-two', { bs: true }), ':b25l:, :dHdv:'],
  [component('x-wide', { bs: true }), ':Y2Fm6Q==:'],
  [component('x-folded'), 'one two'],
  [component('x-empty'), ''],
  [component('cache-control', { sf: true }), 'max-age=60, must-revalidate'],
  [component('dict', { key: 'b' }), '(x y);z'],
  [component('dict', { key: 'c' }), '?1;d=1'],
  [component('expires', { tr: true }), 'never'],
]

for (const [covered, expected] of VALUES) {
  test(`${covered.identifier} has the value RFC 9421 section 2 says`, () => assert.equal(value(covered), expected))
}

test('a response has its status, and req names the request it answers', () => {
  assert.equal(value(component('@status'), RESPONSE), '503')
  assert.equal(value(component('@method', { req: true }), RESPONSE), 'POST')
  assert.equal(value(component('content-type'), RESPONSE), 'text/plain')
  assert.equal(component('@path', { req: true }).identifier, '"@path";req')
})

test('targets of every form have the parts that they have', () => {
  const at = (target: string, method = 'GET'): RequestMessage => ({ ...REQUEST, method, target })
  assert.equal(value(component('@query'), at('/a')), '?')
  assert.equal(value(component('@query'), at('/a?')), '?')
  assert.equal(value(component('@path'), at('http://other.example')), '/')
  assert.equal(value(component('@authority'), { ...at('http://Other.example:80/'), scheme: 'http' }), 'other.example')
  assert.equal(value(component('@authority'), { ...at('/'), authority: 'api.example:8443' }), 'api.example:8443')
  assert.equal(value(component('@target-uri'), at('http://other.example/x?y')), 'http://other.example/x?y')
  for (const [target, method] of [
    ['*', 'OPTIONS'],
    ['example.com:443', 'CONNECT'],
    ['/a#b', 'GET'],
  ] as const) {
    assertRefused(() => value(component('@path'), at(target, method)), 'signature.missing_component')
  }
})

// [authentication.rfc9421.03] One row per way in which a component has no value.
const INVALID: readonly (readonly [string, () => Component, RequestMessage | ResponseMessage, string])[] = [
  ['an absent field', () => component('x-none'), REQUEST, 'signature.missing_component'],
  ['an absent trailer', () => component('x-two', { tr: true }), REQUEST, 'signature.missing_component'],
  ['an absent member', () => component('dict', { key: 'none' }), REQUEST, 'signature.missing_component'],
  [
    'an absent query parameter',
    () => component('@query-param', { name: 'none' }),
    REQUEST,
    'signature.missing_component',
  ],
  [
    'a query parameter given twice',
    () => component('@query-param', { name: 'twice' }),
    REQUEST,
    'signature.invalid_component',
  ],
  ['F14 a value of two lines', () => component('x-lines'), REQUEST, 'signature.invalid_component'],
  ['F14 a value beyond ASCII', () => component('x-wide'), REQUEST, 'signature.invalid_component'],
  ['bs with sf', () => component('dict', { bs: true, sf: true }), REQUEST, 'signature.invalid_component'],
  [
    'sf of a field not known as structured',
    () => component('x-two', { sf: true }),
    REQUEST,
    'signature.invalid_component',
  ],
  [
    'key of a field that is no dictionary',
    () => component('x-folded', { key: 'a' }),
    REQUEST,
    'signature.invalid_component',
  ],
  ['name of a field', () => component('x-two', { name: 'a' }), REQUEST, 'signature.invalid_component'],
  ['sf of a derived component', () => component('@method', { sf: true }), REQUEST, 'signature.invalid_component'],
  ['req in a request', () => component('@method', { req: true }), REQUEST, 'signature.invalid_component'],
  [
    'req without the request',
    () => component('@method', { req: true }),
    { status: 200, headers: [] },
    'signature.missing_component',
  ],
  ['the status of a request', () => component('@status'), REQUEST, 'signature.invalid_component'],
  ['the method of a response', () => component('@method'), RESPONSE, 'signature.invalid_component'],
  ['F14 the parameters of the signature', () => component('@signature-params'), REQUEST, 'signature.invalid_component'],
  ['a derived component nobody defined', () => component('@body'), REQUEST, 'signature.invalid_component'],
  ['a name inherited by every object', () => component('@constructor'), REQUEST, 'signature.invalid_component'],
  [
    'the scheme where it is not known',
    () => component('@scheme'),
    { method: 'GET', target: '/', headers: [] },
    'signature.missing_component',
  ],
  [
    'the authority of two Hosts',
    () => component('@authority'),
    {
      method: 'GET',
      target: '/',
      headers: [
        ['Host', 'a'],
        ['host', 'b'],
      ],
    },
    'signature.missing_component',
  ],
]

for (const [what, make, message, code] of INVALID) {
  test(`refuses ${what}`, () => assertRefused(() => value(make(), message), code))
}

test('a name that is not lower-case, or a parameter nobody defined, is a mistake of the program', () => {
  assert.throws(() => component('Date'), TypeError)
  assert.throws(() => component('date', { other: true }), TypeError)
})

const COVERED = [component('@method'), component('@target-uri'), component('x-two')]
const PARAMETERS = { created: NOW, expires: NOW + 60, nonce: 'n', keyid: 'k', tag: 't' }

function signed(
  given: { readonly [name: string]: number | string | true | undefined } = PARAMETERS,
  components: readonly Component[] = COVERED,
  signer = key,
): RequestMessage {
  const fields = signMessageLocally(REQUEST, signer, { label: 'sig', components, parameters: toParameters(given) })
  return { ...REQUEST, headers: [...REQUEST.headers, ...Object.entries(fields)] }
}

function verify(message: RequestMessage, change: Partial<SignatureExpectations> = {}): unknown {
  const [signature] = readSignatures(message.headers)
  assert.ok(signature)
  const own = { key: verificationKey(key.publicKey), required: COVERED, now: NOW }
  return verifySignature(message, signature, { ...own, ...change })
}

for (const alg of ['ES256', 'ES384', 'EdDSA', 'Ed25519'] as const satisfies readonly JwsAlgorithm[]) {
  test(`${alg}: what was signed verifies under its key, with the name the algorithm has there`, () => {
    const signer = WorkloadKey.generate(alg)
    const own = { key: verificationKey(signer.publicKey, { alg }) }
    const name = { ES256: 'ecdsa-p256-sha256', ES384: 'ecdsa-p384-sha384', EdDSA: 'ed25519', Ed25519: 'ed25519' }[alg]
    const verified = verify(signed({ ...PARAMETERS, alg: name }, COVERED, signer), own) as {
      readonly covers: ReadonlySet<string>
    }
    assert.deepEqual([...verified.covers], ['"@method"', '"@target-uri"', '"x-two"'])
    assertRefused(
      () => verify(signed({ ...PARAMETERS, alg: 'hmac-sha256' }, COVERED, signer), own),
      'signature.alg_mismatch',
    )
    assertRefused(() => verify(signed(PARAMETERS, COVERED, signer)), 'signature.invalid_signature')
  })
}

const header = (message: RequestMessage, name: string, change: (value: string) => string): RequestMessage => ({
  ...message,
  headers: message.headers.map(([field, text]) => [field, field === name ? change(text) : text]),
})

const REFUSED: readonly (readonly [string, () => unknown, string])[] = [
  ['a changed method', () => verify({ ...signed(), method: 'PUT' }), 'signature.invalid_signature'],
  ['a changed target', () => verify({ ...signed(), target: '/' }), 'signature.invalid_signature'],
  [
    'F18 a field that was added to',
    () => verify(header(signed(), 'X-Two', (text) => `${text}, more`)),
    'signature.invalid_signature',
  ],
  [
    'a field that was taken away',
    () => verify({ ...signed(), headers: signed().headers.filter(([name]) => name.toLowerCase() !== 'x-two') }),
    'signature.missing_component',
  ],
  [
    'a changed parameter',
    () => verify(header(signed(), 'signature-input', (text) => text.replace('nonce="n"', 'nonce="m"'))),
    'signature.invalid_signature',
  ],
  [
    'F15 another label in Signature',
    () => verify(header(signed(), 'signature', (text) => text.replace('sig=', 'other='))),
    'signature.malformed',
  ],
  [
    'F15 unpadded base64',
    () => verify(header(signed(), 'signature', (text) => text.replace('=:', ':').replace(/=+:$/, ':'))),
    'signature.malformed',
  ],
  ['F15 base64url', () => verify(header(signed(), 'signature', () => 'sig=:-_-_:')), 'signature.malformed'],
  ['a signature that is text', () => verify(header(signed(), 'signature', () => 'sig="x"')), 'signature.malformed'],
  [
    'an input that is no list',
    () => verify(header(signed(), 'signature-input', () => 'sig="x"')),
    'signature.malformed',
  ],
  [
    'a component that is no string',
    () => verify(header(signed(), 'signature-input', () => 'sig=(1)')),
    'signature.malformed',
  ],
  [
    'two inputs under one label',
    () => verify(header(signed(), 'signature-input', (text) => `${text}, ${text}`)),
    'signature.malformed',
  ],
  [
    'an input beyond the limit',
    () => verify(header(signed(), 'signature-input', (text) => `${text};x="${'a'.repeat(8192)}"`)),
    'signature.too_large',
  ],
  [
    '17 signatures',
    () =>
      verify(header(signed(), 'signature-input', () => Array.from({ length: 17 }, (_, at) => `s${at}=()`).join(', '))),
    'signature.too_large',
  ],
  [
    '65 components',
    () =>
      verify(
        header(
          signed(),
          'signature-input',
          () => `sig=(${Array.from({ length: 65 }, (_, at) => `"x${at}"`).join(' ')})`,
        ),
      ),
    'signature.too_large',
  ],
  [
    'F14 a component covered twice',
    () => verify(header(signed(), 'signature-input', (text) => text.replace('"x-two"', '"x-two" "x-two"'))),
    'signature.invalid_component',
  ],
  [
    'a component covered twice under another order of parameters',
    () =>
      signatureBase(
        [component('dict', { key: 'a', sf: true }), component('dict', { sf: true, key: 'a' })],
        '()',
        REQUEST,
      ),
    'signature.invalid_component',
  ],
  ['a component left out', () => verify(signed(), { required: [component('@authority')] }), 'signature.not_covered'],
  [
    'a component covered in part only',
    () => verify(signed(PARAMETERS, [component('dict', { key: 'a' })]), { required: [component('dict')] }),
    'signature.not_covered',
  ],
  ['F9 expires that has passed', () => verify(signed(), { now: NOW + 60 }), 'signature.expired'],
  ['F9 created in the future', () => verify(signed(), { now: NOW - 31 }), 'signature.not_yet_valid'],
  ['created too long ago', () => verify(signed(), { now: NOW + 11, maxAge: 10 }), 'signature.expired'],
  ['no created where age matters', () => verify(signed({ tag: 't' }), { maxAge: 10 }), 'signature.missing_parameter'],
  ['created that is text', () => verify(signed({ created: '1' })), 'signature.invalid_parameter'],
  ['a nonce that is a number', () => verify(signed({ nonce: 1 })), 'signature.invalid_parameter'],
]

// [authentication.rfc9421.01] [authentication.rfc9421.02]
for (const [what, action, code] of REFUSED) test(`refuses ${what}`, () => assertRefused(action, code))

test('a signature that nobody asks for may cover what cannot be computed here', () => {
  const message = signed()
  const foreign = header(
    header(message, 'signature-input', (text) => `proxy=("@unheard-of";x "x-none";q=1.5);tag="p", ${text}`),
    'signature',
    (text) => `proxy=:AAAA:, ${text}`,
  )
  const own = readSignatures(foreign.headers).find(({ label }) => label === 'sig')
  assert.ok(own)
  const expected = { key: verificationKey(key.publicKey), required: COVERED, now: NOW }
  assert.equal(verifySignature(foreign, own, expected).kind, 'verified-signature')
})

test('blanks in Signature-Input change nothing: the base has the one spelling', () => {
  const spaced = header(signed(), 'signature-input', (text) => text.replace(/" "/g, '"  "').replace(/;/g, '; '))
  assert.equal((verify(spaced) as { readonly keyid?: string }).keyid, 'k')
})

const PARAMETER = fc.oneof(
  fc.constantFrom(
    ';created=1',
    ';tag="t"',
    ';x',
    ';x=?0',
    ';x=01',
    ';x=-1',
    ';x=1.5',
    ';x=:YQ==:',
    ';x=y',
    '; x',
    ';X',
    ';x="a;b"',
    ';x="\\""',
    ';',
    ' ',
  ),
  fc.stringMatching(/^;[a-z]="[ !#-~]*"$/),
)
const FIELD = fc
  .tuple(
    fc.constantFrom('sig', 'a', 'Sig', '*x-1.y'),
    fc.oneof(
      fc.subarray(['"@method"', '"date"', '"x"', '"@path"'], { minLength: 1 }),
      fc.array(fc.constantFrom('"@method"', '"x";sf', '"x"', '"X"', '"a b"', '"\u00e9"', ' ', 'x'), { maxLength: 4 }),
    ),
    fc.array(PARAMETER, { maxLength: 4 }),
    fc.constantFrom('', '', '', ', b=()', ','),
  )
  .map(([label, items, parameters, more]) => `${label}=(${items.join(' ')})${parameters.join('')}${more}`)

test('the usual form is read as structured fields are, or left to them', () => {
  let usual = 0
  fc.assert(
    fc.property(
      FIELD,
      fc.constantFrom('sig=:YWE=:', 'sig=:YWF=:', 'sig=:YWE:', 'a=:YWE=:', '*x-1.y=:YWE=:', 'sig=:YWE=:, b=:YWE=:'),
      (input, signature) => {
        const quick = readUsualForm(input, signature)
        if (quick === undefined) return
        usual += 1
        assert.deepEqual([quick], readDictionaries(input, signature))
      },
    ),
    { numRuns: 5000 },
  )
  assert.ok(usual > 50, `${usual} in the usual form`)
})

test('a label that is no key of a dictionary is a mistake of the program', () => {
  const options = { label: 'Sig', components: COVERED, parameters: toParameters({}) }
  assert.throws(() => signMessageLocally(REQUEST, key, options), TypeError)
})
