// Goals P1 and P2: with the WIT cached, WIT and proof with every mandatory check cost at most 1.08 raw signature checks
// of the same keys, for ES256 and for EdDSA; without, at most 2.8 on Node 24. `jose` does the same work beside them. All are
// warm: else the first algorithm pays for the compiler.
import { verify } from 'node:crypto'
import {
  createAuthenticator,
  createMemoryReplayStore,
  createWpt,
  type ReplayStore,
  verifyWpt,
} from 'aims/authentication'
import { exportPublicJwk, noObserver, verificationKey, WorkloadKey } from 'aims/base'
import { bundleSource, cachingWitVerifier, emptyBundle, issueWit, verifyWit } from 'aims/credentials'
import { type parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { importJWK, jwtVerify } from 'jose'
import { ecdsaToDer } from '../packages/aims/src/base/algorithms.ts'
import { type BenchCase, type Goal, report, roundRobin, WARM } from './harness.ts'

const KEYS = 100
const PROOFS = 20_000
const now = 1_800_000_000
const audience = 'https://api.example.com'
const method = 'POST'
const target = '/api/v1/events'
const trustDomain = parseTrustDomain('example.com')

interface Prepared {
  readonly wit: string
  readonly proof: string
  readonly key: WorkloadKey
  readonly input: Buffer
  readonly signature: Buffer
}

for (const alg of ['ES256', 'EdDSA'] as const) {
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
  const prepared = Array.from({ length: PROOFS }, (_, i): Prepared => {
    const wit = wits[i % KEYS] as (typeof wits)[number]
    // As it comes out of a parser: one flat string.
    const proof = Buffer.from(createWpt(wit, { method, target, audience }, { now })).toString('latin1')
    const dot = proof.lastIndexOf('.')
    const raw = Buffer.from(proof.slice(dot + 1), 'base64url')
    const signature = alg === 'ES256' ? ecdsaToDer(raw, 32) : raw
    return { wit: wit.token, proof, key: wit.key, input: Buffer.from(proof.slice(0, dot)), signature }
  })
  const hash = alg === 'ES256' ? 'sha256' : null

  const cached = cachingWitVerifier({ bundles, profile: 'wimse' })
  const expectations = { profile: 'wimse', audiences: [audience], now, method, target } as const
  const service = (replays: ReplayStore): ReturnType<typeof createAuthenticator> =>
    createAuthenticator({ bundles, audiences: [audience], replays, observer: noObserver, clock: () => now })

  const keys = new Map(
    await Promise.all(
      wits.map(async ({ token, key }) => [token, await importJWK(exportPublicJwk(key.publicKey), alg)] as const),
    ),
  )
  const options = {
    audience,
    typ: 'wpt+jwt',
    algorithms: [alg],
    currentDate: new Date(now * 1000),
    requiredClaims: ['exp', 'jti', 'wth'],
  }

  const cases: readonly BenchCase[] = [
    each(
      'raw: crypto.verify, bare KeyObject',
      () =>
        ({ key, input, signature }) =>
          verify(hash, input, key.publicKey, signature),
    ),
    each('WIT cached + WPT', () => {
      const replays = createMemoryReplayStore({ capacity: PROOFS })
      return ({ wit, proof }) => verifyWpt(proof, { ...expectations, wit: cached(wit, now), replays })
    }),
    each('authenticate() of a request', () => {
      const authenticator = service(createMemoryReplayStore({ capacity: PROOFS }))
      return ({ wit, proof }) =>
        authenticator.authenticate({
          method,
          target,
          headers: [
            ['host', 'api.example.com'],
            ['authorization', `WPT ${proof}`],
            ['workload-identity-token', wit],
          ],
        })
    }),
    each('WIT not cached + WPT', () => {
      const replays = createMemoryReplayStore({ capacity: PROOFS })
      return ({ wit, proof }) =>
        verifyWpt(proof, { ...expectations, wit: verifyWit(wit, { bundles, profile: 'wimse', now }), replays })
    }),
    each('jose, WIT cached', () => {
      const seen = new Set<unknown>()
      return async ({ wit, proof }) => {
        const { payload } = await jwtVerify(proof, keys.get(wit) as Parameters<typeof jwtVerify>[1], options)
        const isFresh = !seen.has(payload.jti)
        seen.add(payload.jti)
        return isFresh
      }
    }),
  ]

  const goals: readonly Goal[] = [
    { id: `P1 ${alg}`, case: 'WIT cached + WPT', atMost: 1.08 },
    { id: `P2 ${alg}`, case: 'WIT not cached + WPT', atMost: 2.8 },
  ]
  const measured = await roundRobin(cases, { warmUp: WARM })
  report(`WIT and WPT, ${alg}, ${KEYS} keys in turn, every proof used once`, measured, goals)

  // `make` sets up what remembers proofs, anew each time they have all been used.
  function each(name: string, make: () => (one: Prepared) => unknown): BenchCase {
    let at = PROOFS
    let action: ReturnType<typeof make>
    return {
      name,
      async run(times) {
        for (let i = 0; i < times; i += 1) {
          if (at === PROOFS) {
            action = make()
            at = 0
          }
          const result = action(prepared[at] as Prepared)
          if ((result instanceof Promise ? await result : result) === false) throw new Error(`${name} was refused`)
          at += 1
        }
      },
    }
  }
}
