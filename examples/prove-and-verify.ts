// An agent proves itself to a service with WIT and WPT, in one process and without a network: the whole of the
// credential and authentication layers in one screen.
import assert from 'node:assert/strict'
import { createAuthenticator, createMemoryReplayStore, proofHeaders } from 'aims/authentication'
import { noObserver, verificationKey, WorkloadKey } from 'aims/base'
import { bundleSource, emptyBundle, holdWit, issueWit } from 'aims/credentials'
import { parseTrustDomain, parseWorkloadSpiffeId } from 'aims/identifiers'

const now = Date.now() / 1000
const trustDomain = parseTrustDomain('example.com')
const subject = parseWorkloadSpiffeId('spiffe://example.com/agent/calendar-bot')

// The trust domain: a key that signs WITs, and the bundle that tells services about it.
const authority = WorkloadKey.generate()
const witAuthorities = new Map([[authority.kid, verificationKey(authority.publicKey, { kid: authority.kid })]])
const bundles = bundleSource({ ...emptyBundle(trustDomain), witAuthorities })

// The agent makes its own key; only the public half goes to the issuer.
const key = WorkloadKey.generate()
const { token, expiresAt } = await issueWit({ subject, publicKey: key.publicKey, now, ttl: 3600 }, authority)
const wit = holdWit({ subject, token, key, expiresAt, profile: 'wimse', hint: '' })

// The service knows its own name, whom it trusts, and which proofs it has seen.
const service = createAuthenticator({
  bundles,
  audiences: ['https://api.example.com'],
  replays: createMemoryReplayStore({ capacity: 1000 }),
  observer: noObserver,
})

const body = Buffer.from('{"title":"stand-up"}')
const request = { method: 'POST', target: '/api/v1/events', audience: 'https://api.example.com', body }
const headers = Object.entries(proofHeaders(wit, request, { now }))

const caller = await service.authenticate({ ...request, headers })
assert.equal(caller.id, subject)
assert.deepEqual(caller.covers, { method: true, target: true, body: true, response: false })

// The same request again, another body, and a WIT without a proof.
await assert.rejects(service.authenticate({ ...request, headers }), { code: 'proof.replayed' })
const fresh = Object.entries(proofHeaders(wit, request, { now }))
const changed = Buffer.from('{"title":"payday"}')
await assert.rejects(service.authenticate({ ...request, headers: fresh, body: changed }), {
  code: 'proof.body_mismatch',
})
const onlyWit = fresh.filter(([name]) => name.toLowerCase() !== 'authorization')
await assert.rejects(service.authenticate({ ...request, headers: onlyWit }), { code: 'authentication.missing_proof' })

console.log(`${caller.id} proved itself by ${caller.method}, and three forgeries were refused`)
