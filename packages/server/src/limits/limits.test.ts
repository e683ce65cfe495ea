import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AimsError } from 'aims/base'
import { parseSpiffeId } from 'aims/identifiers'
import type { IssuanceRequest, Issuer } from 'aims/provisioning'
import type { Access, Caller } from '../http/route.ts'
import type { RegisteredAgent } from '../store/agent-store.ts'
import { limitIssuance } from './issuance-limits.ts'
import { RateLimited } from './rate-limited.ts'
import { createRequestLimits, networkOf } from './request-limits.ts'

let now = 0
const clock = (): number => now
const times = (count: number, work: () => unknown): void => {
  for (let n = 0; n < count; n += 1) work()
}
const limited = { code: 'operation.rate_limited' }

const caller = (name: string, method: Caller['method'], ...access: readonly Access[]): Caller => ({
  name,
  method,
  access: new Set<Access>(['public', ...access]),
})
const bot = caller('spiffe://example.com/agent/bot', 'mtls', 'reporter')
const other = caller('spiffe://example.com/agent/other', 'mtls', 'reporter')
const registered: RegisteredAgent = {
  id: 'a',
  spiffeId: parseSpiffeId('spiffe://example.com/aims/agent/x509-pop/a'),
  type: 'x509-pop',
  selectors: [],
  state: 'active',
  mayReattest: true,
  thumbprint: '',
  serial: '1',
  nextSerial: undefined,
  expiresAt: 0,
  firstSeen: 0,
  lastSeen: 0,
}
const from = (remoteAddress: string) => ({ remoteAddress })
const rates = { 'limits.anonymous': 1, 'limits.workload': 1, 'limits.agent': 2 }

test('a flooder is refused and does not stop another, whatever addresses they come from', () => {
  const limits = createRequestLimits(rates, clock)
  times(10, () => limits.admit(bot, from('192.0.2.1')))
  times(1000, () => assert.throws(() => limits.admit(bot, from('192.0.2.2')), limited))
  times(10, () => limits.admit(other, from('192.0.2.1')))
  times(10, () => limits.admit(undefined, from('192.0.2.1')))
  now += 1000
  limits.admit(bot, from('192.0.2.1'))
})

test('strangers are told apart by address, and who shows a certificate that does not verify is one', () => {
  const limits = createRequestLimits(rates, clock)
  const stranger = caller('anonymous', 'none')
  times(5, () => limits.admit(stranger, from('2001:db8:1:2::1')))
  times(5, () => limits.admit(undefined, from('2001:db8:1:2:ffff::9')))
  assert.throws(() => limits.admit(undefined, from('2001:db8:1:2::7')), limited)
  assert.throws(() => limits.admit(stranger, from('2001:db8:1:2::7')), limited)
  limits.admit(stranger, from('2001:db8:1:3::1'))
})

test('operators and the agent of this host are not limited; an agent elsewhere is, by itself', () => {
  const limits = createRequestLimits(rates, clock)
  const operator = caller('unix:uid:0', 'unix', 'admin')
  const local = caller('unix:uid:900', 'unix', 'agent')
  times(100, () => limits.admit(operator, from('')))
  times(100, () => limits.admit(local, from('')))
  const remote: Caller = { ...caller(registered.spiffeId, 'mtls', 'agent'), agent: registered }
  times(20, () => limits.admit(remote, from('192.0.2.1')))
  assert.throws(() => limits.admit(remote, from('192.0.2.1')), limited)
})

test('a network is an address of version 4, or half of one of version 6', () => {
  const rows = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8::1', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    [undefined, ''],
  ] as const
  for (const [address, network] of rows) assert.equal(networkOf(address), network)
})

test('issuance is limited for each entry through each agent, and nothing is asked beyond it', async () => {
  const asked: string[] = []
  const issue = async ({ entryId }: IssuanceRequest): Promise<never> => {
    asked.push(entryId)
    throw new AimsError('provisioning.not_entitled', 'not this one')
  }
  const issuer: Issuer = limitIssuance({ issueX509: issue, issueWit: issue, issueJwt: issue }, 1, clock)
  const request = { entryId: 'bot', posture: { type: 'unix', selectors: [] }, correlationId: 'c', audiences: ['a'] }
  const ask = (change: object = {}) => issuer.issueJwt({ ...request, ...change })
  for (let n = 0; n < 10; n += 1) await assert.rejects(ask(), { code: 'provisioning.not_entitled' })
  await assert.rejects(ask(), limited)
  assert.equal(asked.length, 10)
  await assert.rejects(ask({ entryId: 'other' }), { code: 'provisioning.not_entitled' })
  await assert.rejects(ask({ agent: registered }), { code: 'provisioning.not_entitled' })
})

test('who is limited is told whole seconds, one at least', () => {
  for (const [seconds, told] of [
    [0.001, 1],
    [1, 1],
    [1.5, 2],
  ] as const) {
    assert.equal(new RateLimited(seconds).retryAfter, told)
  }
})
