// Goals P1 and P2: with the WIT cached, WIT and proof cost at most 1.08 raw signature checks; without, at most 2.8 on
// Node 24. A proof alone takes about 1.05, so here the WIT's own share is measured.
import { verify } from 'node:crypto'
import { verificationKey, WorkloadKey } from 'aims/base'
import {
  bundleSource,
  cachingWitVerifier,
  emptyBundle,
  issueJwtSvid,
  issueWit,
  verifyJwtSvid,
  verifyWit,
} from 'aims/credentials'
import { parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { type BenchCase, report, roundRobin, WARM } from './harness.ts'

const KEYS = 100
const now = 1_800_000_000
const audience = 'https://api.example.com'
const trustDomain = parseTrustDomain('example.com')
const signer = WorkloadKey.generate()
const jwtSigner = WorkloadKey.generate()

const bundles = bundleSource({
  ...emptyBundle(trustDomain),
  witAuthorities: new Map([[signer.kid, verificationKey(signer.publicKey, { kid: signer.kid })]]),
  jwtAuthorities: new Map([[jwtSigner.kid, verificationKey(jwtSigner.publicKey, { kid: jwtSigner.kid })]]),
})

const workloads = Array.from({ length: KEYS }, () => WorkloadKey.generate())
const wits = await Promise.all(
  workloads.map(async (key, index) => {
    const subject = parseSpiffeId(`spiffe://example.com/agent/bot-${index}`)
    return (await issueWit({ subject, publicKey: key.publicKey, now, ttl: 3600 }, signer)).token
  }),
)
const svids = await Promise.all(
  workloads.map(async (_, index) => {
    const subject = parseSpiffeId(`spiffe://example.com/agent/bot-${index}`)
    return (await issueJwtSvid({ subject, audiences: [audience], now, ttl: 300 }, jwtSigner)).token
  }),
)
const data = Buffer.from(wits[0] ?? '', 'latin1')
const signatures = workloads.map((key) => {
  const der = derOf(key.sign(data))
  return { key: key.publicKey, der }
})

const cached = cachingWitVerifier({ bundles, profile: 'wimse' })
const cases: readonly BenchCase[] = [
  each('raw: crypto.verify, bare KeyObject', signatures, ({ key, der }) => verify('sha256', data, key, der)),
  each('WIT, not cached', wits, (token) => verifyWit(token, { bundles, profile: 'wimse', now })),
  each('WIT, cached', wits, (token) => cached(token, now)),
  each('JWT-SVID', svids, (token) => verifyJwtSvid(token, { bundles, audience, now })),
]

report('WIT verification, ES256, 100 keys in turn', await roundRobin(cases, { warmUp: WARM }), [
  { id: 'P2, the share of the WIT', case: 'WIT, not cached', atMost: 1.75 },
  { id: 'P1, the share of the WIT', case: 'WIT, cached', atMost: 0.02 },
])

function each<T>(name: string, items: readonly T[], action: (item: T) => unknown): BenchCase {
  return {
    name,
    run(times) {
      for (let i = 0; i < times; i += 1) {
        if (action(items[i % items.length] as T) === false) throw new Error(`${name} was refused`)
      }
    },
  }
}

// What raw verification takes is DER: the conversion is not part of the baseline.
function derOf(signature: Uint8Array): Buffer {
  const integer = (bytes: Uint8Array): Buffer => {
    const start = bytes.findIndex((byte) => byte !== 0)
    const digits = bytes.subarray(start)
    const pad = (digits[0] ?? 0) > 0x7f ? [0] : []
    return Buffer.from([0x02, digits.length + pad.length, ...pad, ...digits])
  }
  const body = Buffer.concat([integer(signature.subarray(0, 32)), integer(signature.subarray(32))])
  return Buffer.concat([Buffer.from([0x30, body.length]), body])
}
