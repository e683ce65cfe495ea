import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AttestationResult } from 'aims/attestation'
import { type ApiClient, WorkloadKey } from 'aims/base'
import { parseTrustDomain } from 'aims/identifiers'
import { parseEntry } from 'aims/provisioning'
import { postureOf } from './posture.ts'
import { serverClient } from './server-client.ts'

const groups = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, gid) => [
    `unix:supplementary_gid:${gid}`,
    `unix:supplementary_group:g${gid}`,
  ]).flat()

// The rest of it plays no part here.
const attestation = (selectors: readonly string[]) =>
  ({ type: 'unix', binding: 'channel', selectors }) as AttestationResult

test('a posture that is small is told whole, in its order', () => {
  const selectors = ['unix:uid:1', ...groups(10), 'unix:path:/usr/bin/node']
  assert.deepEqual(postureOf(attestation(selectors)), { type: 'unix', binding: 'channel', selectors })
})

test('a workload in many groups shows what its entry asks for, and what else there is room for', () => {
  const needed = ['unix:uid:1', 'unix:supplementary_gid:999']
  const selectors = ['unix:uid:1', ...groups(1000), 'unix:path:/usr/bin/node', 'unix:sha256:00']
  const posture = postureOf(attestation(selectors), needed)
  assert.equal(posture.selectors.length, 96)
  for (const one of [...needed, 'unix:path:/usr/bin/node', 'unix:sha256:00']) assert.ok(posture.selectors.includes(one))
})

test('few selectors that are long leave room in the record', () => {
  const long = Array.from({ length: 40 }, (_, i) => `unix:supplementary_group:${String(i).padEnd(900, 'x')}`)
  const { selectors } = postureOf(attestation(['unix:uid:1', ...long]), ['unix:uid:1'])
  assert.ok(selectors.includes('unix:uid:1') && selectors.join('').length <= 8192)
})

test('the server is asked with what it takes', async () => {
  const selectors = ['unix:uid:1', ...groups(5000)]
  const entry = parseEntry(
    { id: 'bot', spiffeId: 'spiffe://example.com/bot', selectors: ['unix:uid:1', 'unix:supplementary_gid:4000'] },
    { trustDomain: parseTrustDomain('example.com') },
  )
  const sent: { readonly posture: { readonly selectors: readonly string[] } }[] = []
  const api: ApiClient = {
    send: async ({ body }) => {
      sent.push(JSON.parse(JSON.stringify(body)))
      return { chain: [], token: 't', expiresAt: 1 }
    },
    close: () => undefined,
  }
  const server = serverClient(api)
  const key = WorkloadKey.generate()
  // Only what is sent is looked at: no real server answers.
  await Promise.allSettled([
    server.issueX509(entry, key, attestation(selectors)),
    server.issueWit(entry, key, attestation(selectors)),
    server.issueJwt(entry, ['a'], attestation(selectors)),
  ])
  assert.equal(sent.length, 3)
  for (const { posture } of sent) {
    assert.ok(posture.selectors.length <= 128)
    for (const needed of entry.selectors) assert.ok(posture.selectors.includes(needed))
  }
})
