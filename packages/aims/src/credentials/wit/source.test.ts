import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { testDomain } from '../../../../../test/support/identities.ts'
import { parseSpiffeId } from '../../identifiers/spiffe-id.ts'
import { holdJwtSvid } from '../jwt-svid/source.ts'
import { holdWit } from './source.ts'

test('a held WIT gives token and key to who asks, and shows them nowhere', async () => {
  const made = await testDomain().wit()
  const wit = holdWit(made)
  assert.equal(wit.token, made.token)
  assert.equal(wit.key, made.key)
  assert.deepEqual(JSON.parse(JSON.stringify(wit)), {
    subject: 'spiffe://example.com/agent/calendar-bot',
    profile: 'wimse',
    expiresAt: made.expiresAt,
    hint: '',
  })
  assert.ok(!inspect(wit, { showHidden: true, depth: 9 }).includes(made.token))
})

test('a held JWT-SVID does not show its token', () => {
  const spiffeId = parseSpiffeId('spiffe://example.com/agent/calendar-bot')
  const svid = holdJwtSvid({ spiffeId, token: 'a.b.c', audiences: ['x'], expiresAt: 60, hint: 'main' })
  assert.equal(svid.token, 'a.b.c')
  assert.equal(JSON.stringify(svid).includes('a.b.c'), false)
  assert.equal(inspect(svid, { showHidden: true }).includes('a.b.c'), false)
  assert.equal(svid.hint, 'main')
})
