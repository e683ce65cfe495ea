import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTrustDomain } from '../identifiers/trust-domain.ts'
import { parseEntry, type RegistrationEntry } from './entry.ts'
import { issuanceChecks } from './issuance-checks.ts'
import type { IssuanceRequest } from './issuer.ts'
import { noIdentityChecks } from './nearest.ts'

const trustDomain = parseTrustDomain('example.com')
const entry = (id: string, selectors: readonly string[], more: object = {}): RegistrationEntry =>
  parseEntry({ id, spiffeId: `spiffe://example.com/${id}`, selectors, ...more }, { trustDomain })
const bot = entry('bot', ['unix:uid:1000', 'unix:path:/usr/bin/bot'])
const posture = { type: 'unix', selectors: ['unix:uid:1000', 'unix:path:/usr/bin/bot'] }
const request: IssuanceRequest = { entryId: 'bot', posture, correlationId: 'c' }

// One row per rule that refuses: the check that failed last, and its difference.
for (const [title, found, changes, type, check, difference] of [
  ['no such entry', undefined, {}, 'wit', 'entry.known', undefined],
  ['an entry of certain agents', { ...bot, agents: [['a:b:c']] }, {}, 'wit', 'entry.agents', 'agents'],
  [
    'a selector that is not shown',
    bot,
    { posture: { type: 'unix', selectors: ['unix:uid:1000'] } },
    'wit',
    'entry.selectors',
    'selectors',
  ],
  [
    'evidence of another revision',
    { ...bot, attestation: {} },
    { appraisedRevision: 7 },
    'wit',
    'entry.evidence',
    'evidence',
  ],
  [
    'another type of credential',
    { ...bot, credentialTypes: ['wit'] },
    {},
    'jwt-svid',
    'entry.credential-type',
    'credential-type',
  ],
  ['what comes after the entry', bot, {}, 'wit', 'entry.issuance', undefined],
] as const) {
  test(`${title} is told as ${check}`, () => {
    const checks = issuanceChecks(
      type,
      { ...request, ...changes },
      found as RegistrationEntry | undefined,
      'credential.key_reuse',
    )
    const last = checks.at(-1)
    assert.deepEqual([last?.check, last?.outcome, last?.difference], [check, 'failed', difference])
    assert.ok(checks.slice(0, -1).every(({ outcome }) => outcome === 'passed'))
  })
}

const other = entry('other', ['unix:uid:1000', 'unix:gid:5', 'unix:path:/x'])
const far = entry('far', ['k8s:ns:prod'])

// One row per way in which a workload has nothing.
for (const [title, entries, selectors, failed] of [
  ['no entry at all', [], ['unix:uid:1'], [['workload.entry', undefined]]],
  ['entries of another kind', [far], ['unix:uid:1'], [['workload.entry', undefined]]],
  [
    'entries that come close, the closest first',
    [far, other, bot],
    ['unix:uid:1000', 'unix:path:/usr/bin/cat'],
    [
      ['workload.entry', 'unix:path:/usr/bin/cat'],
      ['workload.entry', 'unix:path:/usr/bin/cat'],
    ],
  ],
  ['another user', [bot], ['unix:uid:0', 'unix:path:/usr/bin/bot'], [['workload.entry', 'unix:uid:0']]],
  [
    'entries that match, and give something else',
    [bot],
    posture.selectors,
    [['workload.credential', `${bot.credentialTypes.join(' ')}, for ${bot.spiffeId}`]],
  ],
] as const) {
  test(`a workload with ${title}`, () => {
    const [attested, ...rest] = noIdentityChecks(entries, selectors)
    assert.deepEqual([attested?.check, attested?.outcome], ['workload.attested', 'passed'])
    assert.deepEqual(
      rest.map(({ check, observed }) => [check, observed]),
      failed,
    )
  })
}

test('of many entries that come close, three are told', () => {
  const many = Array.from({ length: 50 }, (_, at) => entry(`e${at}`, ['unix:uid:1', `unix:gid:${at}`]))
  assert.equal(noIdentityChecks(many, ['unix:uid:1']).length, 4)
})
