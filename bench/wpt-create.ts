// Goal P5: a proof is made at 0.85 of the rate of the raw signature, so in at most 1.18 of its time.
import { randomUUID, sign } from 'node:crypto'
import { createWpt, proofHeaders } from 'aims/authentication'
import { WorkloadKey } from 'aims/base'
import { issueWit } from 'aims/credentials'
import { parseSpiffeId } from 'aims/identifiers'
import { SignJWT } from 'jose'
import { type BenchCase, report, roundRobin } from './harness.ts'

const now = 1_800_000_000
const audience = 'https://api.example.com'
const request = { method: 'POST', target: '/api/v1/events', audience }
const body = Buffer.alloc(300, 'x')

const key = WorkloadKey.generate()
const subject = parseSpiffeId('spiffe://example.com/agent/calendar-bot')
const { token } = await issueWit({ subject, publicKey: key.publicKey, now, ttl: 3600 }, WorkloadKey.generate())
const wit = { subject, profile: 'wimse' as const, token, key }
const input = Buffer.from(createWpt(wit, request, { now }).split('.', 2).join('.'))
const privateKey = key.tlsKey
const wth = 'X9wiPgq3jlSGzAegHCGhNO1lJgUbDoI1Mjkat5QHJB0'

const cases: readonly BenchCase[] = [
  repeated('raw: crypto.sign, bare KeyObject', () => sign('sha256', input, privateKey)),
  repeated('WPT', () => createWpt(wit, request, { now })),
  repeated('WPT with the digest of a body of 300 bytes', () => createWpt(wit, { ...request, body }, { now })),
  repeated('header fields', () => proofHeaders(wit, request, { now })),
  {
    name: 'jose, the claims of the draft only',
    async run(times) {
      for (let i = 0; i < times; i += 1) {
        await new SignJWT({ aud: audience, exp: now + 60, jti: randomUUID(), wth })
          .setProtectedHeader({ alg: 'ES256', typ: 'wpt+jwt' })
          .sign(privateKey)
      }
    },
  },
]

report('making a proof, ES256', await roundRobin(cases), [{ id: 'P5', case: 'WPT', atMost: 1.18 }])

function repeated(name: string, action: () => unknown): BenchCase {
  return {
    name,
    run(times) {
      for (let i = 0; i < times; i += 1) action()
    },
  }
}
