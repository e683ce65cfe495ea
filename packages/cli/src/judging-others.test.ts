import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { type JwsAlgorithm, WorkloadKey } from 'aims/base'
import {
  basicConstraints,
  buildCa,
  buildSvid,
  type CertificateOptions,
  NOW as X509_NOW,
} from '../../../test/support/certificates.ts'
import { aims, at, file, verdict } from '../../../test/support/cli.ts'
import { forge } from '../../../test/support/tokens.ts'

// What other issuers leave out or leave open, and is sound nevertheless; and what is not.

const NOW = 1_700_000_000
const sub = 'spiffe://example.com/agent/calendar-bot'
const authority = WorkloadKey.generate()
const agent = WorkloadKey.generate()
const { privateKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const { privateKey: ed25519 } = generateKeyPairSync('ed25519')

type Members = { readonly [member: string]: unknown }

function jwk(key: WorkloadKey, more: Members = {}): Members {
  return { ...key.publicKey.export({ format: 'jwk' }), ...more }
}

// A key without alg: RFC 7517 section 4.4 leaves the choice to the issuer. One that is named is the only one.
for (const [alg, named, code] of [
  ['RS256', undefined, undefined],
  ['RS384', undefined, undefined],
  ['RS512', undefined, undefined],
  ['PS256', undefined, undefined],
  ['PS384', undefined, undefined],
  ['PS512', undefined, undefined],
  ['PS256', 'PS256', undefined],
  ['PS256', 'RS256', 'credential.invalid_signature'],
  ['RS256', 'PS256', 'credential.invalid_signature'],
  ['RS512', 'RS256', 'credential.invalid_signature'],
] as const) {
  test(`a JWT-SVID of ${alg} under a key for ${named ?? 'any algorithm'} is ${code ?? 'accepted'}`, async () => {
    const key = new WorkloadKey(rsa, { alg })
    const token = forge({ alg, kid: 'r' }, { sub, aud: ['a'], exp: NOW + 300 }, key)
    for (const use of [undefined, 'jwt-svid']) {
      const bundle = { spiffe_sequence: 1, keys: [jwk(key, { kid: 'r', alg: named, use })] }
      const form = use === undefined ? { keys: bundle.keys } : bundle
      const { result } = await verdict(
        ...['verify', 'jwt-svid', '--token', file(token), '--bundle', file(form), '--audience', 'a', ...at(NOW)],
      )
      assert.equal(result.code, code, JSON.stringify(result))
      assert.equal(result.ok, code === undefined)
    }
  })
}

const holder = { jwk: jwk(agent, { alg: 'ES256' }) }
const trust = ['--bundle', file({ keys: [jwk(authority, { kid: 'i' })] }), '--trust-domain', 'example.com']

function wit(claims: Members = {}): string {
  return forge({ typ: 'wit+jwt', alg: 'ES256', kid: 'i' }, { sub, exp: NOW + 3600, cnf: holder, ...claims }, authority)
}

function judgeWit(token: string, ...options: readonly string[]): ReturnType<typeof verdict> {
  return verdict('verify', 'wit', '--token', file(token), ...trust, ...options)
}

for (const alg of ['EdDSA', 'Ed25519'] as const) {
  test(`a WIT of alg ${alg} is accepted under an Ed25519 key that leaves the name open`, async () => {
    const key = new WorkloadKey(ed25519, { alg: alg as JwsAlgorithm })
    const token = forge({ typ: 'wit+jwt', alg, kid: 'e' }, { sub, exp: NOW + 3600, cnf: holder }, key)
    const set = ['--bundle', file({ keys: [jwk(key, { kid: 'e' })] })]
    const { accepted, result } = await verdict(
      ...['verify', 'wit', '--token', file(token), ...set, '--trust-domain', 'example.com', ...at(NOW)],
    )
    assert.equal(accepted, true, JSON.stringify(result))
  })
}

// What a key is for is the issuer's to say.
for (const [what, more, code] of [
  ['use sig', { use: 'sig', key_ops: ['verify'] }, undefined],
  ['use enc', { use: 'enc' }, 'credential.invalid_confirmation'],
  ['key_ops without verify', { key_ops: ['encrypt'] }, 'credential.invalid_confirmation'],
] as const) {
  test(`a WIT that confirms a key of ${what} is ${code ?? 'accepted'}`, async () => {
    const { result } = await judgeWit(wit({ cnf: { jwk: { ...holder.jwk, ...more } } }), ...at(NOW))
    assert.equal(result.code, code, JSON.stringify(result))
  })
}

// RFC 3339: T and Z may be in lower case, and a day must exist. The WIT ends one second later.
for (const [now, exit] of [
  ['2023-11-14T22:13:20Z', 0],
  ['2023-11-14t22:13:20z', 0],
  ['2023-11-15T00:13:20+02:00', 0],
  ['2023-11-14T22:13:20.999999999Z', 0],
  ['2023-11-14T22:13:21.000Z', 1],
  ['2024-02-29T00:00:00Z', 1],
  ['2023-02-29T00:00:00Z', 2],
  ['2023-02-30T23:00:00-05:00', 2],
  ['2023-04-31T00:00:00Z', 2],
  ['2023-11-14T24:00:01Z', 2],
  ['2023-11-14 22:13:20Z', 2],
  ['2023-11-14T22:13:20', 2],
] as const) {
  test(`--now ${now} gives exit code ${exit}`, async () => {
    const token = file(wit({ exp: NOW + 1 }))
    const { exit: seen, results } = await aims('verify', 'wit', '--token', token, ...trust, '--now', now)
    assert.equal(seen, exit, JSON.stringify(results))
    if (exit > 0) assert.equal(results[0]?.code, exit === 1 ? 'credential.expired' : 'operation.usage')
  })
}

// draft-ietf-wimse-wpt: aud is compared "ignoring any query and fragment parts", on whichever side they are.
const token = wit()
for (const [aud, own, code] of [
  ['https://api.example.com/v1', 'https://api.example.com/v1', undefined],
  ['https://api.example.com/v1?a=b', 'https://api.example.com/v1', undefined],
  ['https://api.example.com/v1#f', 'https://api.example.com/v1', undefined],
  ['https://api.example.com/v1?a=b', 'https://api.example.com', undefined],
  ['https://api.example.com/v1', 'https://api.example.com/v1?a=b', undefined],
  ['https://api.example.com/v2?/v1', 'https://api.example.com/v1', 'proof.audience_mismatch'],
  ['https://api.example.com/v1%3Fa', 'https://api.example.com/v1', 'proof.audience_mismatch'],
  ['?https://api.example.com/v1', 'https://api.example.com/v1', 'proof.audience_mismatch'],
] as const) {
  test(`a proof for ${aud} at ${own} is ${code ?? 'accepted'}`, async () => {
    const wth = createHash('sha256').update(token).digest('base64url')
    const claims = { aud, exp: NOW + 60, jti: '0123456789abcdef', wth }
    const proof = forge({ typ: 'wpt+jwt', alg: 'ES256' }, claims, agent)
    const message = `GET /v1?a=b HTTP/1.1\nAuthorization: WPT ${proof}\nWorkload-Identity-Token: ${token}\n\n`
    const { result } = await verdict(
      ...['verify', 'request', '--message', file(message), '--audience', own, ...trust, ...at(NOW)],
    )
    assert.equal(result.code, code, JSON.stringify(result))
  })
}

test('a request of profile aims-00 names the proof when the header of the proof is wrong', async () => {
  const aud = ['https://api.example.com']
  const claims = { iss: 'https://example.com', sub, aud, exp: NOW + 3600, cnf: holder }
  const bearer = forge({ typ: 'wimse-id+jwt', alg: 'ES256', kid: 'i' }, claims, authority)
  for (const [header, code] of [
    [{ jwk: jwk(agent) }, 'proof.forbidden_header'],
    [{ crit: ['x'] }, 'proof.forbidden_header'],
    [{ alg: 'none' }, 'proof.alg_mismatch'],
    [{ typ: null }, 'proof.malformed'],
  ] as const) {
    const proof = forge({ typ: 'wimse-proof+jwt', alg: 'ES256', ...header }, {}, agent)
    const message = `GET / HTTP/1.1\nAuthorization: Bearer ${bearer}\nWorkload-Identity-Token: ${proof}\n\n`
    const { result } = await verdict(
      ...['verify', 'request', '--message', file(message), '--profile', 'aims-00', ...trust, ...at(NOW)],
      ...['--audience', String(aud)],
    )
    assert.equal(result.code, code, JSON.stringify(result))
  }
})

// X509-SVID asks for none of these, and OpenSSL, Go and rcgen make certificates without them.
const root = buildCa({ subject: 'root' })
const without = (name: string, options: CertificateOptions): CertificateOptions => ({
  ...options,
  extensions: { [name]: undefined },
})
const plainRoot = buildCa({
  subject: 'plain root',
  extensions: {
    subjectKeyId: undefined,
    keyUsage: undefined,
    basicConstraints: basicConstraints(true, undefined, false),
  },
})
const plainCa = buildCa({ ...without('authorityKeyId', { issuer: root }), subject: 'plain CA' })

for (const [what, chain, anchor] of [
  ['a leaf without authority key identifier', [buildSvid(without('authorityKeyId', { issuer: root }))], root],
  [
    'a leaf without any key identifier under a plain root',
    [buildSvid({ ...without('authorityKeyId', { issuer: plainRoot }) })],
    plainRoot,
  ],
  ['an intermediate without authority key identifier', [buildSvid({ issuer: plainCa }), plainCa], root],
] as const) {
  test(`an X.509-SVID with ${what} is accepted`, async () => {
    const der = Buffer.concat(chain.map((one) => one.der))
    const { accepted, result } = await verdict(
      ...['verify', 'x509-svid', '--chain', file(der), '--bundle', file(anchor.der)],
      ...['--trust-domain', 'example.com', ...at(X509_NOW)],
    )
    assert.equal(accepted, true, JSON.stringify(result))
  })
}
