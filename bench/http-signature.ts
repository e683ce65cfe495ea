// Goal P6: with the WIT cached, a signed request with every mandatory check costs at most 1.20 raw signature checks over
// the same base, for ES256 and for EdDSA. Another library, which knows neither WIT nor WIMSE, does its part beside it.
import { verify } from 'node:crypto'
import { createAuthenticator, createMemoryReplayStore, signRequest, verifyRequestSignature } from 'aims/authentication'
import { noObserver, verificationKey, WorkloadKey } from 'aims/base'
import { bundleSource, cachingWitVerifier, emptyBundle, issueWit } from 'aims/credentials'
import { type parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { readSignatures, signatureBase } from 'aims/message-signatures'
import { createVerifier, httpbis } from 'http-message-signatures'
import { ecdsaToDer } from '../packages/aims/src/base/algorithms.ts'
import { type BenchCase, type Goal, report, roundRobin } from './harness.ts'

const KEYS = 100
const REQUESTS = 20_000
const now = 1_800_000_000
const audience = 'https://api.example.com'
const method = 'POST'
const target = '/api/v1/events?day=1'
const trustDomain = parseTrustDomain('example.com')
const body = Buffer.from('{"title":"standup"}')
const sent = [
  ['host', 'api.example.com'],
  ['content-type', 'application/json'],
] as const

interface Prepared {
  readonly headers: readonly (readonly [string, string])[]
  /** As the other library wants them. */
  readonly fields: Record<string, string>
  readonly wit: string
  readonly key: WorkloadKey
  readonly base: Buffer
  readonly signature: Buffer
}

for (const [alg, name] of [
  ['ES256', 'ecdsa-p256-sha256'],
  ['EdDSA', 'ed25519'],
] as const) {
  const signer = WorkloadKey.generate(alg)
  // EdDSA is a WIMSE algorithm, and none of SPIFFE: then the subject is not one either.
  const scheme = alg === 'EdDSA' ? 'wimse' : 'spiffe'
  const bundles = bundleSource({
    ...emptyBundle(trustDomain),
    scheme,
    witAuthorities: new Map([[signer.kid, verificationKey(signer.publicKey, { kid: signer.kid })]]),
  })
  const wits = await Promise.all(
    Array.from({ length: KEYS }, async (_, i) => {
      const key = WorkloadKey.generate(alg)
      const subject = `${scheme}://example.com/agent/bot-${i}` as ReturnType<typeof parseSpiffeId>
      const { token } = await issueWit({ subject, publicKey: key.publicKey, now, ttl: 3600 }, signer)
      return { token, key, subject, profile: 'wimse' as const }
    }),
  )
  const prepared = Array.from({ length: REQUESTS }, (_, i): Prepared => {
    const wit = wits[i % KEYS] as (typeof wits)[number]
    const signed = signRequest(wit, { method, target, audience, headers: sent, body }, { now })
    // As they come out of a parser: flat strings.
    const headers = [...sent, ...Object.entries(signed.headers)].map(([field, value]): [string, string] => [
      field,
      Buffer.from(value).toString('latin1'),
    ])
    const [found] = readSignatures(headers)
    if (found?.signature === undefined) throw new TypeError('not signed')
    const base = Buffer.from(signatureBase(found.components, found.input, { method, target, headers }))
    const raw = Buffer.from(found.signature)
    const signature = alg === 'ES256' ? ecdsaToDer(raw, 32) : raw
    return { headers, fields: Object.fromEntries(headers), wit: wit.token, key: wit.key, base, signature }
  })
  const hash = alg === 'ES256' ? 'sha256' : null
  const cached = cachingWitVerifier({ bundles, profile: 'wimse' })
  const verifiers = new Map(wits.map(({ token, key }) => [token, createVerifier(key.publicKey, name)]))

  const cases: readonly BenchCase[] = [
    each(
      'raw: crypto.verify over the same base, bare KeyObject',
      () =>
        ({ key, base, signature }) =>
          verify(hash, base, key.publicKey, signature),
    ),
    each('WIT cached + HTTP signature + digest + nonce', () => {
      const replays = createMemoryReplayStore({ capacity: REQUESTS })
      return ({ wit, headers }) =>
        verifyRequestSignature(
          { method, target, headers },
          { wit: cached(wit, now), audiences: [audience], now, body, replays },
        )
    }),
    each('authenticate() of a signed request', () => {
      const replays = createMemoryReplayStore({ capacity: REQUESTS })
      const authenticator = createAuthenticator({
        bundles,
        audiences: [audience],
        replays,
        observer: noObserver,
        clock: () => now,
      })
      return ({ headers }) => authenticator.authenticate({ method, target, headers, body })
    }),
    each('http-message-signatures, the signature alone', () => {
      return ({ fields, wit }) =>
        httpbis.verifyMessage(
          {
            keyLookup: async () => ({ verify: verifiers.get(wit) ?? (async () => false), algs: [name] }),
            notAfter: new Date((now + 60) * 1000),
            tolerance: 1e9,
          },
          { method, url: `https://api.example.com${target}`, headers: fields },
        )
    }),
  ]
  const goals: readonly Goal[] = [
    { id: `P6 ${alg}`, case: 'WIT cached + HTTP signature + digest + nonce', atMost: 1.2 },
  ]
  report(`HTTP signatures, ${alg}, ${KEYS} keys in turn, every request once`, await roundRobin(cases), goals)

  // `make` sets up what remembers nonces, anew each time they have all been used.
  function each(title: string, make: () => (one: Prepared) => unknown): BenchCase {
    let at = REQUESTS
    let action: ReturnType<typeof make>
    return {
      name: title,
      async run(times) {
        for (let i = 0; i < times; i += 1) {
          if (at === REQUESTS) {
            action = make()
            at = 0
          }
          const result = action(prepared[at] as Prepared)
          const answer = result instanceof Promise ? await result : result
          if (answer === false || answer === null) throw new Error(`${title} was refused`)
          at += 1
        }
      },
    }
  }
}
