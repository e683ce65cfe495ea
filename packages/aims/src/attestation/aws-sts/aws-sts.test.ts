import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { type FakeSts, startFakeSts, stsListener } from '../../../../../test/support/fake-sts.ts'
import { assertRefused } from '../../../../../test/support/tampering.ts'
import { tlsHost, towards, webAuthority } from '../../../../../test/support/tls-host.ts'
import type { JsonObject } from '../../base/json.ts'
import { outbound } from '../../base/outbound.ts'
import { bindingAudience, type Challenge, type ExpectedBinding } from '../binding.ts'
import { type AwsStsCollection, collectAwsSts } from '../collect/aws-sts.ts'
import { attestEvidence } from '../evidence.ts'
import { type Exchange, type ExchangeResponse, exchangeThrough } from '../exchange.ts'
import { awsStsVerifier } from './aws-sts.ts'
import { signatureV4, sigV4Date } from './sigv4.ts'

const NOW = 1_750_000_000
const credentials = {
  accessKeyId: 'ASIAEXAMPLEEXAMPLE00',
  secretAccessKey: 'the/secret',
  sessionToken: 'dGhlIHNlc3Npb24gdG9rZW4/+w==',
}
const challenge: Challenge = { nonce: Buffer.alloc(32, 7), publicKey: Buffer.from('a key') }
const trustDomain = 'example.com'
const expected: ExpectedBinding = { kind: 'challenge', challenge, trustDomain }
const binding = bindingAudience('aws-sts', challenge, trustDomain)
const arn = 'arn:aws:iam::123456789012:role/Agent'
const user = (change: object = {}) => ({
  secret: credentials.secretAccessKey,
  token: credentials.sessionToken,
  account: '123456789012',
  arn: 'arn:aws:sts::123456789012:assumed-role/Agent/i-0123456789abcdef0',
  userId: 'AROAEXAMPLE:i-0123456789abcdef0',
  ...change,
})

const collect = (change: Partial<AwsStsCollection> = {}) =>
  Buffer.from(collectAwsSts({ credentials, region: 'eu-central-1', binding, now: NOW, ...change }))
const presigned = (change: Partial<AwsStsCollection> = {}) => collect({ expires: 60, ...change })

let sts: FakeSts
before(async () => {
  sts = await startFakeSts({ [credentials.accessKeyId]: user() }, () => NOW)
})
after(() => sts.close())

interface Options {
  readonly now?: number
  readonly expected?: ExpectedBinding
  readonly policy?: JsonObject
  readonly exchange?: Exchange
}
const attest = async (evidence: Uint8Array, options: Options = {}) => {
  const verifier = awsStsVerifier({ regions: ['eu-central-1'], exchange: options.exchange ?? sts.exchange })
  const context = { now: options.now ?? NOW, expected: options.expected ?? expected }
  return attestEvidence(verifier, evidence, context, verifier.readPolicy(options.policy ?? {}))
}
const refuses = (code: string, evidence: Uint8Array, options: Options = {}) =>
  assert.rejects(attest(evidence, options), { code })

interface Parts {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}
const changed = (evidence: Buffer, change: (parts: Parts) => object) => {
  const parts = JSON.parse(evidence.toString()) as Parts
  return Buffer.from(JSON.stringify({ ...parts, ...change(parts) }))
}
const url = (evidence: Buffer, change: (url: string) => string) =>
  changed(evidence, (parts) => ({ url: change(parts.url) }))
const header = (evidence: Buffer, headers: object) =>
  changed(evidence, (parts) => ({ headers: { ...parts.headers, ...headers } }))

describe('Signature Version 4', () => {
  test('is the one of the example that AWS documents', () => {
    const signature = signatureV4(
      {
        method: 'GET',
        path: '/',
        query: {},
        headers: { host: 'example.amazonaws.com', 'x-amz-date': '20150830T123600Z' },
        body: '',
        region: 'us-east-1',
        service: 'service',
        date: '20150830T123600Z',
      },
      { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' },
    )
    assert.equal(signature, '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31')
    assert.equal(sigV4Date(Date.UTC(2015, 7, 30, 12, 36) / 1000 + 0.9), '20150830T123600Z')
  })
})

describe('a signed request for GetCallerIdentity', () => {
  const bare = Buffer.from((JSON.parse(presigned().toString()) as Parts).url)
  const token = Buffer.from(`k8s-aws-v1.${bare.toString('base64url')}\n`)
  for (const [what, evidence] of [
    ['in its headers', collect()],
    ['in its address', presigned()],
    ['as a bare address', bare],
    ['as a token', token],
  ] as const) {
    test(`signed ${what} says which role called, and is bound to the challenge`, async () => {
      const result = await attest(evidence, { policy: { arns: [arn] } })
      assert.deepEqual([result.binding, result.freshness], ['audience', 'nonce'])
      assert.deepEqual(result.selectors, ['aws:iam:account_id:123456789012', `aws:iam:arn:${arn}`])
      assert.deepEqual(result.warnings, [])
    })

    test(`signed ${what} for another challenge or server is refused by whoever looks first`, async () => {
      for (const other of [
        { ...expected, trustDomain: 'example.org' },
        { ...expected, challenge: { ...challenge, nonce: Buffer.alloc(32) } },
        { ...expected, challenge: { ...challenge, publicKey: Buffer.from('another key') } },
      ]) {
        const isBare = evidence === bare || evidence === token
        await refuses(isBare ? 'attestation.invalid_signature' : 'attestation.binding_mismatch', evidence, {
          expected: other,
        })
      }
    })
  }

  test('without a challenge says so, and a bare address cannot be asked then', async () => {
    const result = await attest(collect(), { expected: { kind: 'unchecked' } })
    assert.deepEqual([result.binding, result.freshness], ['none', 'window'])
    await refuses('attestation.binding_missing', bare, { expected: { kind: 'unchecked' } })
  })

  test('is written anew: of what was sent nothing else is forwarded (N26)', async () => {
    const seen = sts.requests.length
    await attest(collect())
    await attest(presigned())
    const names = sts.requests
      .slice(seen)
      .map(({ method, headers }) => [method, ...Object.keys(headers).sort()].join(' '))
    assert.deepEqual(names, [
      'POST accept authorization connection content-length content-type host x-aims-binding x-amz-date x-amz-security-token',
      'GET accept connection host x-aims-binding',
    ])
    assert.ok(sts.requests.slice(seen).every(({ headers }) => headers.accept === 'application/json'))
  })

  const rows: readonly (readonly [string, string, Buffer, Options?])[] = [
    ['for another host (N26)', 'attestation.issuer_unknown', url(collect(), () => 'https://evil.example/')],
    [
      'for a host that ends like AWS (N26)',
      'attestation.issuer_unknown',
      url(collect(), () => 'https://evilsts.eu-central-1.amazonaws.com/'),
    ],
    [
      'for a host that begins like AWS (N26)',
      'attestation.issuer_unknown',
      url(collect(), (one) => one.replace('.com/', '.com.evil.example/')),
    ],
    [
      'for another service of AWS (N26)',
      'attestation.issuer_unknown',
      url(collect(), () => 'https://iam.amazonaws.com/'),
    ],
    ['for a region that is not configured (N26)', 'attestation.issuer_unknown', collect({ region: 'eu-west-1' })],
    ['over http (N26)', 'attestation.malformed', url(collect(), (one) => one.replace('https', 'http'))],
    ['for another path (N26)', 'attestation.malformed', url(collect(), (one) => `${one}latest`)],
    [
      'with a user in its address (N26)',
      'attestation.malformed',
      url(collect(), (one) => one.replace('//', '//user@')),
    ],
    ['with a port (N26)', 'attestation.malformed', url(collect(), (one) => one.replace('.com', '.com:8443'))],
    ['with a fragment (N26)', 'attestation.malformed', url(presigned(), (one) => `${one}#x`)],
    [
      'for another action (N26)',
      'attestation.malformed',
      url(presigned(), (one) => one.replace('GetCallerIdentity', 'GetAccessKeyInfo')),
    ],
    [
      'with another action in its body (N26)',
      'attestation.malformed',
      changed(collect(), () => ({ body: 'Action=GetAccessKeyInfo&Version=2011-06-15' })),
    ],
    [
      'with a second action in its body (N26)',
      'attestation.malformed',
      changed(collect(), ({ body }) => ({ body: `${body}&Action=GetAccessKeyInfo` })),
    ],
    [
      'with a query beside its body (N26)',
      'attestation.malformed',
      url(collect(), (one) => `${one}?Action=GetAccessKeyInfo`),
    ],
    ['with a body beside its query (N26)', 'attestation.malformed', changed(presigned(), () => ({ body: '' }))],
    ['with an extra header (N26)', 'attestation.malformed', header(collect(), { 'x-forwarded-host': 'evil.example' })],
    ['with an Accept of its own (N26)', 'attestation.malformed', header(collect(), { accept: 'text/html' })],
    [
      'with an extra header beside a query (N26)',
      'attestation.malformed',
      header(presigned(), { 'x-amz-date': '20250615T150640Z' }),
    ],
    [
      'with a header twice in two spellings (N27)',
      'attestation.malformed',
      header(collect(), { 'X-Amz-Date': '20250615T150640Z' }),
    ],
    ['with line breaks in a header', 'attestation.malformed', header(collect(), { 'x-aims-binding': 'a\r\nb: c' })],
    ['by another method', 'attestation.malformed', changed(collect(), () => ({ method: 'PUT' }))],
    [
      'with action beside Action (N27)',
      'attestation.malformed',
      url(presigned(), (one) => `${one}&action=GetAccessKeyInfo`),
    ],
    ['with Action twice (N27)', 'attestation.malformed', url(presigned(), (one) => `${one}&Action=GetCallerIdentity`)],
    [
      'with Action twice, once percent-encoded (N27)',
      'attestation.malformed',
      url(presigned(), (one) => `${one}&%41ction=GetAccessKeyInfo`),
    ],
    ['with an unknown parameter (N27)', 'attestation.malformed', url(presigned(), (one) => `${one}&X-Amz-Other=1`)],
    ['with a parameter without value (N27)', 'attestation.malformed', url(presigned(), (one) => `${one}&Action`)],
    [
      'whose binding header is not signed, in its address (N27)',
      'attestation.malformed',
      url(presigned(), (one) => one.replace('host%3Bx-aims-binding', 'host')),
    ],
    [
      'whose binding header is not signed, in its headers (N27)',
      'attestation.malformed',
      changed(collect(), ({ headers }) => ({
        headers: { ...headers, authorization: headers.authorization?.replace('x-aims-binding;', '') },
      })),
    ],
    ['without its binding header', 'attestation.malformed', header(collect(), { 'x-aims-binding': undefined })],
    ['for another binding', 'attestation.binding_mismatch', collect({ binding: `${binding}x` })],
    [
      'for another binding, with the right one put in (N27)',
      'attestation.invalid_signature',
      header(collect({ binding: 'other' }), { 'x-aims-binding': binding }),
    ],
    [
      'whose scope is another region',
      'attestation.malformed',
      url(presigned(), (one) => one.replace('%2Feu-central-1%2F', '%2Feu-west-1%2F')),
    ],
    [
      'whose scope is another day',
      'attestation.malformed',
      url(presigned(), (one) => one.replace('%2F20250615%2F', '%2F20250614%2F')),
    ],
    ['on February 30', 'attestation.malformed', url(presigned(), (one) => one.replaceAll('20250615', '20250230'))],
    [
      'that lives longer than 900 seconds',
      'attestation.malformed',
      url(presigned(), (one) => one.replace('Expires=60', 'Expires=901')),
    ],
    [
      'by another key',
      'attestation.invalid_signature',
      collect({ credentials: { ...credentials, secretAccessKey: 'guess' } }),
    ],
    [
      'without its session token',
      'attestation.invalid_signature',
      presigned({
        credentials: { accessKeyId: credentials.accessKeyId, secretAccessKey: credentials.secretAccessKey },
      }),
    ],
    ['15 minutes ago', 'attestation.expired', collect(), { now: NOW + 901 }],
    ['a minute ago, for a minute', 'attestation.expired', presigned(), { now: NOW + 61 }],
    ['in the future', 'attestation.not_yet_valid', collect(), { now: NOW - 301 }],
    ['in JSON with other members', 'attestation.malformed', changed(collect(), () => ({ extra: 1 }))],
    ['in JSON without an address', 'attestation.malformed', Buffer.from('{"method":"GET"}')],
  ]
  for (const [what, code, evidence, options] of rows) {
    test(`${what} is refused`, () => refuses(code, evidence, options))
  }

  test('that is refused for its form is never sent', async () => {
    const seen = sts.requests.length
    for (const [, code, evidence, options] of rows) {
      if (code !== 'attestation.invalid_signature') await refuses(code, evidence, options)
    }
    assert.equal(sts.requests.length, seen)
  })

  test('with any bit of it flipped is refused (section 3.1)', async () => {
    const evidence = presigned()
    const closed: Exchange = async () => ({ status: 403, headers: {}, body: new Uint8Array() })
    for (let at = 0; at < evidence.length; at += 1) {
      const flipped = Buffer.from(evidence)
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 7))
      await assertRefused((bytes) => attest(bytes, { exchange: closed }), flipped, `byte ${at}`)
    }
    // Those that pass the form are the ones that AWS has to see through.
    const address = bare.toString()
    for (const place of ['X-Amz-Signature=', 'X-Amz-Date=', 'X-Amz-Security-Token=', 'X-Amz-Credential=']) {
      const at = address.indexOf(place) + place.length + 2
      const other = address[at] === '0' ? '1' : '0'
      await assertRefused(attest, Buffer.from(address.slice(0, at) + other + address.slice(at + 1)), place)
    }
  })

  test('random text is refused with a code (property)', () =>
    fc.assert(
      fc.asyncProperty(fc.oneof(fc.json(), fc.webUrl(), fc.string()), (text) =>
        assertRefused(attest, Buffer.from(text), 'random text'),
      ),
    ))
})

describe('the answer of AWS', () => {
  const answer =
    (change: Partial<ExchangeResponse> | object, body?: object | string): Exchange =>
    async () => ({
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body ?? identity())),
      ...change,
    })
  const identity = (change: object = {}) => ({
    GetCallerIdentityResponse: {
      GetCallerIdentityResult: { Account: '123456789012', Arn: user().arn, UserId: 'AROAEXAMPLE:session', ...change },
    },
  })
  const rows: readonly (readonly [string, string, Exchange])[] = [
    [
      'that is a redirect (N26)',
      'attestation.unconfirmed',
      answer({ status: 302, headers: { location: 'https://evil.example/' } }),
    ],
    ['in XML (N26)', 'attestation.unconfirmed', answer({ headers: { 'content-type': 'text/xml' } })],
    ['in HTML that says it is JSON (N26)', 'attestation.unconfirmed', answer({}, '<html></html>')],
    ['in HTML (N26)', 'attestation.unconfirmed', answer({ headers: { 'content-type': 'text/html' } }, '<html></html>')],
    ['without a type', 'attestation.unconfirmed', answer({ headers: {} })],
    ['that is an error of the server', 'attestation.unconfirmed', answer({ status: 500 })],
    ['that is larger than 16 KiB', 'attestation.unconfirmed', answer({ body: Buffer.alloc(16_385, 0x20) })],
    [
      'with a member twice',
      'attestation.unconfirmed',
      answer({}, '{"GetCallerIdentityResponse":{},"GetCallerIdentityResponse":{}}'),
    ],
    ['about another action', 'attestation.unconfirmed', answer({}, { GetAccessKeyInfoResponse: {} })],
    ['without an account', 'attestation.unconfirmed', answer({}, identity({ Account: undefined }))],
    [
      'whose account is not that of its ARN',
      'attestation.unconfirmed',
      answer({}, identity({ Account: '210987654321' })),
    ],
    [
      'of another partition',
      'attestation.unconfirmed',
      answer({}, identity({ Arn: 'arn:aws-cn:iam::123456789012:user/alice' })),
    ],
    [
      'about a federated user',
      'attestation.unsupported',
      answer({}, identity({ Arn: 'arn:aws:sts::123456789012:federated-user/alice' })),
    ],
    [
      'about a role with a path in its name',
      'attestation.unsupported',
      answer({}, identity({ Arn: 'arn:aws:sts::123456789012:assumed-role/a/b/c' })),
    ],
    ['that refuses', 'attestation.invalid_signature', answer({ status: 403 })],
  ]
  for (const [what, code, exchange] of rows) test(`${what} is refused`, () => refuses(code, collect(), { exchange }))

  test('that does not come is refused', () =>
    refuses('attestation.unconfirmed', collect(), { exchange: () => Promise.reject(new Error('ECONNREFUSED')) }))

  test('about a user or a root is taken as it is', async () => {
    for (const plain of ['arn:aws:iam::123456789012:user/team/alice', 'arn:aws:iam::123456789012:root']) {
      const result = await attest(collect(), { exchange: answer({}, identity({ Arn: plain })) })
      assert.equal(result.selectors[1], `aws:iam:arn:${plain}`)
    }
  })
})

describe('AWS through the vetted fetcher', () => {
  const name = 'sts.eu-central-1.amazonaws.com'
  const through = async (listener: RequestListener, evidence: Uint8Array) => {
    await using host = await tlsHost([name], listener)
    const fetcher = outbound(towards(host, { sts: { hosts: [name], authorities: webAuthority } }))
    return await attest(evidence, { exchange: exchangeThrough(fetcher, 'sts') })
  }

  test('answers over TLS, in both forms of a request', async () => {
    const listener = stsListener({ [credentials.accessKeyId]: user() }, () => NOW)
    for (const evidence of [collect(), presigned()]) {
      assert.equal((await through(listener, evidence)).binding, 'audience')
    }
  })

  test('refuses with 403', async () => {
    const listener = stsListener({}, () => NOW)
    await assert.rejects(through(listener, collect()), { code: 'attestation.invalid_signature' })
  })

  test('is not followed elsewhere (N26)', async () => {
    const redirect: RequestListener = (_, response) =>
      response.writeHead(307, { location: 'https://evil.example/' }).end()
    await assert.rejects(through(redirect, collect()), { code: 'attestation.unconfirmed' })
  })
})

describe('the policy for AWS callers', () => {
  const rows: readonly (readonly [JsonObject, string | undefined])[] = [
    [{ accounts: ['123456789012'] }, undefined],
    [{ arns: [arn] }, undefined],
    [{ accounts: ['210987654321'] }, 'attestation.not_allowed'],
    [{ arns: [`${arn}2`] }, 'attestation.not_allowed'],
    [{ arns: ['arn:aws:iam::123456789012:role/*'] }, 'attestation.not_allowed'],
    [{ arn }, 'attestation.policy_malformed'],
  ]
  for (const [policy, code] of rows) {
    test(`${JSON.stringify(policy)} ${code ?? 'passes'}`, async () => {
      if (code === undefined) assert.deepEqual((await attest(collect(), { policy })).warnings, [])
      else await refuses(code, collect(), { policy })
    })
  }

  test('a region that is none is misuse', () => {
    for (const regions of [['eu'], ['EU-CENTRAL-1'], ['evil.example/#-eu-central-1']]) {
      assert.throws(() => awsStsVerifier({ regions, exchange: sts.exchange }), TypeError)
    }
  })
})
