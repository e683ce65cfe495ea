// Makes spec/vectors/*.json: AIMS's own vectors for other implementers. Signatures are fresh at every run, so run it
// only when rows change: node --conditions=aims:source tools/generate-vectors.ts
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { exportPublicJwk, sha256Base64url, WorkloadKey } from 'aims/base'
import { signatureVectors } from './signature-vectors.ts'

const NOW = 1_796_083_200
const TRUST_DOMAIN = 'example.com'
const AGENT = 'spiffe://example.com/agent/calendar-bot'
const AUDIENCE = 'https://api.example.com'

type Json = { readonly [name: string]: unknown }

const authority = WorkloadKey.generate()
const stranger = WorkloadKey.generate()
const workload = WorkloadKey.generate()
const workloadJwk = exportPublicJwk(workload.publicKey, { alg: 'ES256' })
const bundle = {
  spiffe_sequence: 1,
  spiffe_refresh_hint: 300,
  keys: ['jwt-svid', 'wit-svid'].map((use) =>
    exportPublicJwk(authority.publicKey, { use, kid: `${use}-1`, alg: 'ES256' }),
  ),
}

/** One row: what differs from the good case, and the code it must be refused with. */
interface Negative extends Json {
  readonly name: string
  readonly code: string
}

function token(header: Json, claims: Json, key: WorkloadKey): string {
  const input = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${input}.${key.sign(Buffer.from(input)).toString('base64url')}`
}

function without(object: Json, name: string): Json {
  const { [name]: _, ...rest } = object
  return rest
}

function write(name: string, vector: Json): void {
  mkdirSync('spec/vectors', { recursive: true })
  writeFileSync(`spec/vectors/${name}.json`, `${JSON.stringify(vector, null, 2)}\n`)
}

const common = { now: new Date(NOW * 1000).toISOString(), trustDomain: TRUST_DOMAIN, bundle }

// WIT
const witHeader = { alg: 'ES256', kid: 'wit-svid-1', typ: 'wit+jwt' }
const witClaims = { sub: AGENT, iat: NOW - 60, exp: NOW + 3540, jti: 'wit-1', cnf: { jwk: workloadJwk } }
const goodWit = token(witHeader, witClaims, authority)
const cnf = (jwk: Json): Json => ({ ...witClaims, cnf: { jwk } })
const witRow = (name: string, code: string, header: Json, claims: Json, key = authority): Negative => ({
  name,
  code,
  token: token(header, claims, key),
})
write('wit', {
  description: 'Workload Identity Tokens, profile wimse (draft-ietf-wimse-workload-creds-02)',
  profile: 'wimse',
  ...common,
  token: goodWit,
  subject: AGENT,
  negative: [
    { name: 'at the second it expires', code: 'credential.expired', now: new Date((NOW + 3540) * 1000).toISOString() },
    witRow('typ of a JWT-SVID', 'credential.wrong_type', { ...witHeader, typ: 'JWT' }, witClaims),
    witRow('typ of an older profile', 'credential.wrong_type', { ...witHeader, typ: 'wimse-id+jwt' }, witClaims),
    witRow('without typ', 'credential.wrong_type', without(witHeader, 'typ'), witClaims),
    witRow('alg none', 'credential.unsupported_alg', { ...witHeader, alg: 'none' }, witClaims),
    witRow('alg HS256', 'credential.unsupported_alg', { ...witHeader, alg: 'HS256' }, witClaims),
    witRow('embedded jwk', 'credential.forbidden_header', { ...witHeader, jwk: workloadJwk }, witClaims),
    witRow('crit', 'credential.forbidden_header', { ...witHeader, crit: ['exp'] }, witClaims),
    witRow('signed by a stranger', 'credential.invalid_signature', witHeader, witClaims, stranger),
    witRow('unknown kid', 'credential.unknown_key', { ...witHeader, kid: 'other' }, witClaims),
    witRow('kid of a key for JWT-SVIDs', 'credential.unknown_key', { ...witHeader, kid: 'jwt-svid-1' }, witClaims),
    witRow('without sub', 'credential.missing_claim', witHeader, without(witClaims, 'sub')),
    witRow('sub as a list', 'credential.invalid_subject', witHeader, { ...witClaims, sub: [AGENT] }),
    witRow('sub without path', 'credential.invalid_subject', witHeader, { ...witClaims, sub: 'spiffe://example.com' }),
    witRow('sub with a dot segment', 'credential.invalid_subject', witHeader, { ...witClaims, sub: `${AGENT}/../x` }),
    witRow('sub in another domain', 'credential.wrong_trust_domain', witHeader, {
      ...witClaims,
      sub: 'spiffe://example.org/agent/calendar-bot',
    }),
    witRow('without exp', 'credential.missing_claim', witHeader, without(witClaims, 'exp')),
    witRow('exp as text', 'credential.invalid_claim', witHeader, { ...witClaims, exp: String(NOW + 60) }),
    witRow('nbf in the future', 'credential.not_yet_valid', witHeader, { ...witClaims, nbf: NOW + 300 }),
    witRow('iat in the future', 'credential.issued_in_future', witHeader, { ...witClaims, iat: NOW + 300 }),
    witRow('lifetime of ten years', 'credential.lifetime_too_long', witHeader, {
      ...witClaims,
      exp: NOW + 315_360_000,
    }),
    witRow('without cnf', 'credential.missing_confirmation', witHeader, without(witClaims, 'cnf')),
    witRow('cnf.kid only', 'credential.invalid_confirmation', witHeader, { ...witClaims, cnf: { kid: 'key-1' } }),
    witRow(
      'cnf.jwk without alg',
      'credential.missing_confirmation_alg',
      witHeader,
      cnf(without({ ...workloadJwk }, 'alg')),
    ),
    witRow(
      'cnf.jwk.alg none',
      'credential.forbidden_confirmation_alg',
      witHeader,
      cnf({ ...workloadJwk, alg: 'none' }),
    ),
    witRow(
      'cnf.jwk.alg HS256',
      'credential.forbidden_confirmation_alg',
      witHeader,
      cnf({ ...workloadJwk, alg: 'HS256' }),
    ),
    witRow(
      'cnf.jwk.alg of another curve',
      'credential.forbidden_confirmation_alg',
      witHeader,
      cnf({ ...workloadJwk, alg: 'ES384' }),
    ),
    witRow(
      'cnf.jwk with a private member',
      'credential.invalid_confirmation',
      witHeader,
      cnf({ ...workloadJwk, d: 'AA' }),
    ),
    { name: 'padded', code: 'credential.malformed', token: `${goodWit}=` },
    { name: 'four parts', code: 'credential.malformed', token: `${goodWit}.AA` },
    { name: 'longer than 8192 characters', code: 'credential.too_large', token: `${goodWit}${'A'.repeat(8192)}` },
  ],
})

// WPT
const proofHeader = { alg: 'ES256', typ: 'wpt+jwt' }
const proofClaims = {
  aud: AUDIENCE,
  exp: NOW + 60,
  jti: randomBytes(16).toString('base64url'),
  wth: sha256Base64url(goodWit),
}
const txnToken = 'txn-token-0123456789'
const proofRow = (
  name: string,
  code: string,
  header: Json,
  claims: Json,
  more: Json = {},
  key = workload,
): Negative => ({
  name,
  code,
  proof: token(header, claims, key),
  ...more,
})
write('wpt', {
  description: 'Workload Proof Tokens, profile wimse (draft-ietf-wimse-wpt-02)',
  profile: 'wimse',
  ...common,
  wit: goodWit,
  audience: AUDIENCE,
  headers: [],
  proof: token(proofHeader, proofClaims, workload),
  subject: AGENT,
  negative: [
    { name: 'at the second it expires', code: 'proof.expired', now: new Date((NOW + 60) * 1000).toISOString() },
    { name: 'at another service', code: 'proof.audience_mismatch', audience: 'https://other.example.com' },
    proofRow('living 301 seconds', 'proof.lifetime_too_long', proofHeader, { ...proofClaims, exp: NOW + 301 }),
    proofRow('made for another WIT', 'proof.wit_mismatch', proofHeader, { ...proofClaims, wth: 'A'.repeat(43) }),
    proofRow('typ of a WIT', 'proof.wrong_type', { ...proofHeader, typ: 'wit+jwt' }, proofClaims),
    proofRow('typ of an older profile', 'proof.wrong_type', { ...proofHeader, typ: 'wimse-proof+jwt' }, proofClaims),
    proofRow('signed by a stranger', 'proof.invalid_signature', proofHeader, proofClaims, {}, stranger),
    proofRow('signed by the issuer', 'proof.invalid_signature', proofHeader, proofClaims, {}, authority),
    proofRow('another alg than cnf.jwk.alg', 'proof.alg_mismatch', { ...proofHeader, alg: 'ES384' }, proofClaims),
    proofRow('embedded jwk', 'proof.forbidden_header', { ...proofHeader, jwk: workloadJwk }, proofClaims),
    proofRow('without aud', 'proof.missing_claim', proofHeader, without(proofClaims, 'aud')),
    proofRow('two audiences', 'proof.invalid_claim', proofHeader, {
      ...proofClaims,
      aud: [AUDIENCE, 'https://x.example'],
    }),
    proofRow('without exp', 'proof.missing_claim', proofHeader, without(proofClaims, 'exp')),
    proofRow('without jti', 'proof.missing_claim', proofHeader, without(proofClaims, 'jti')),
    proofRow('a jti of 15 characters', 'proof.invalid_claim', proofHeader, { ...proofClaims, jti: 'A'.repeat(15) }),
    proofRow('without wth', 'proof.missing_claim', proofHeader, without(proofClaims, 'wth')),
    proofRow('tth without Txn-Token', 'proof.txn_token_mismatch', proofHeader, {
      ...proofClaims,
      tth: sha256Base64url(txnToken),
    }),
    { name: 'Txn-Token without tth', code: 'proof.txn_token_mismatch', headers: [`Txn-Token: ${txnToken}`] },
    proofRow('oth for a field that is absent', 'proof.other_token_mismatch', proofHeader, {
      ...proofClaims,
      oth: { 'ctx-token': sha256Base64url('x') },
    }),
  ],
})

// HTTP signatures
write('http-signature', {
  description: 'Signed HTTP requests, profile wimse (draft-ietf-wimse-http-signature-07)',
  profile: 'wimse',
  ...common,
  wit: goodWit,
  audience: AUDIENCE,
  subject: AGENT,
  ...signatureVectors({ now: NOW, wit: goodWit, workload, stranger, audience: AUDIENCE }),
})

// JWT-SVID
const svidHeader = { alg: 'ES256', kid: 'jwt-svid-1', typ: 'JWT' }
const svidClaims = { sub: AGENT, aud: [AUDIENCE], iat: NOW - 10, exp: NOW + 290 }
const svidRow = (name: string, code: string, header: Json, claims: Json, key = authority): Negative => ({
  name,
  code,
  token: token(header, claims, key),
})
write('jwt-svid', {
  description: 'JWT-SVIDs',
  ...common,
  audience: AUDIENCE,
  token: token(svidHeader, svidClaims, authority),
  subject: AGENT,
  negative: [
    { name: 'at the second it expires', code: 'credential.expired', now: new Date((NOW + 290) * 1000).toISOString() },
    { name: 'for another audience', code: 'credential.audience_mismatch', audience: 'https://other.example.com' },
    { name: 'for a prefix of the audience', code: 'credential.audience_mismatch', audience: AUDIENCE.slice(0, -1) },
    svidRow('typ of a WIT', 'credential.wrong_type', { ...svidHeader, typ: 'wit+jwt' }, svidClaims),
    svidRow('alg EdDSA', 'credential.unsupported_alg', { ...svidHeader, alg: 'EdDSA' }, svidClaims),
    svidRow('alg HS256', 'credential.unsupported_alg', { ...svidHeader, alg: 'HS256' }, svidClaims),
    svidRow('embedded jku', 'credential.forbidden_header', { ...svidHeader, jku: 'https://x.example' }, svidClaims),
    svidRow('a header that is not defined', 'credential.forbidden_header', { ...svidHeader, cty: 'JWT' }, svidClaims),
    svidRow('without kid', 'credential.missing_kid', without(svidHeader, 'kid'), svidClaims),
    svidRow('kid of a key for WITs', 'credential.unknown_key', { ...svidHeader, kid: 'wit-svid-1' }, svidClaims),
    svidRow('signed by a stranger', 'credential.invalid_signature', svidHeader, svidClaims, stranger),
    svidRow('without aud', 'credential.missing_claim', svidHeader, without(svidClaims, 'aud')),
    svidRow('an empty list of audiences', 'credential.invalid_claim', svidHeader, { ...svidClaims, aud: [] }),
    svidRow('without exp', 'credential.missing_claim', svidHeader, without(svidClaims, 'exp')),
    svidRow('without sub', 'credential.missing_claim', svidHeader, without(svidClaims, 'sub')),
    svidRow('sub is an https URL', 'credential.invalid_subject', svidHeader, {
      ...svidClaims,
      sub: 'https://example.com/a',
    }),
    svidRow('iat in the future', 'credential.issued_in_future', svidHeader, { ...svidClaims, iat: NOW + 300 }),
  ],
})

// Bundles
write('bundle', {
  description: 'SPIFFE trust bundles',
  trustDomain: TRUST_DOMAIN,
  now: common.now,
  bundle,
  negative: [
    { name: 'without keys', code: 'bundle.missing_keys', bundle: { spiffe_sequence: 1 } },
    { name: 'keys is not a list', code: 'bundle.malformed', bundle: { keys: {} } },
    {
      name: 'a private key',
      code: 'bundle.private_key',
      bundle: { keys: [{ ...bundle.keys[0], d: 'AA' }] },
    },
    {
      name: 'one kid for two keys',
      code: 'bundle.duplicate_kid',
      bundle: { ...bundle, keys: bundle.keys.map((key) => ({ ...key, kid: 'same' })) },
    },
    { name: 'a map without this domain', code: 'bundle.wrong_trust_domain', bundle: { trust_domains: {} } },
  ],
})
