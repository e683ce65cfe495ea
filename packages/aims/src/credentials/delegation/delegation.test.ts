import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { NOW, testDomain } from '../../../../../test/support/identities.ts'
import { AimsError } from '../../base/errors.ts'
import { signJwsLocally } from '../../base/jose.ts'
import { exportPublicJwk, WorkloadKey } from '../../base/keys.ts'
import { parseWorkloadSpiffeId, type WorkloadId } from '../../identifiers/spiffe-id.ts'
import { joinSubAgentId } from '../../identifiers/sub-agent-id.ts'
import { issueWit } from '../wit/issue.ts'
import { verifyWit } from '../wit/verify.ts'
import { DELEGATION_CLAIM } from './delegation.ts'
import { areWithin, coversRight, MAX_RIGHTS, parseRight, parseRights } from './rights.ts'

const domain = testDomain()
const parent = parseWorkloadSpiffeId('spiffe://example.com/agent/planner')
const child = joinSubAgentId(parent, 'reader')
const key = WorkloadKey.generate()
const CALENDAR = 'spiffe://example.com/service/calendar'
const EVENTS = 'spiffe://example.com/service/events-api'
const expected = { bundles: domain.bundles, profile: 'wimse', now: NOW } as const

test('what a parent gave travels in the WIT', async () => {
  const delegation = { parent, rights: [`call ${CALENDAR}#list`, `GET ${EVENTS} /api/v1`] }
  const { token } = await issueWit(
    { subject: child, publicKey: key.publicKey, now: NOW, ttl: 60, delegation },
    domain.signer,
  )
  assert.deepEqual(verifyWit(token, expected).delegation, delegation)
  assert.equal(verifyWit((await domain.wit()).token, expected).delegation, undefined)
})

function tokenWith(claim: unknown, subject: WorkloadId = child): string {
  const cnf = { jwk: exportPublicJwk(key.publicKey, { alg: key.alg }) }
  const claims = { sub: subject, exp: NOW + 60, iat: NOW, cnf, [DELEGATION_CLAIM]: claim }
  return signJwsLocally({ typ: 'wit+jwt', kid: domain.signer.kid }, claims, domain.signer)
}

const REFUSED: readonly (readonly [string, unknown, string, WorkloadId?])[] = [
  ['text', 'call', 'credential.invalid_claim'],
  ['null', null, 'credential.invalid_claim'],
  ['a list', [], 'credential.invalid_claim'],
  ['no rights', { parent }, 'credential.invalid_claim'],
  ['rights that are text', { parent, rights: 'call' }, 'credential.invalid_claim'],
  ['a right that is a number', { parent, rights: [1] }, 'credential.invalid_claim'],
  ['no parent', { rights: [] }, 'credential.invalid_claim'],
  ['the parent of somebody else', { parent: `${parent}2`, rights: [] }, 'credential.invalid_claim'],
  ['a grandparent', { parent, rights: [] }, 'credential.invalid_claim', joinSubAgentId(child, 'deeper')],
  ['an agent that is no child', { parent, rights: [] }, 'credential.invalid_claim', parent],
  ['a right nobody can read', { parent, rights: ['own the world'] }, 'credential.invalid_rights'],
  ['two rights in one line', { parent, rights: [`call ${CALENDAR}\ncall ${EVENTS}`] }, 'credential.invalid_rights'],
]
for (const [what, claim, code, subject] of REFUSED) {
  test(`a WIT is refused whose delegation is ${what}`, () => {
    assert.throws(() => verifyWit(tokenWith(claim, subject), expected), { code })
  })
}

test('rights are read as they are written', () => {
  assert.deepEqual(parseRight(`call ${CALENDAR}#create_event`), {
    action: 'call',
    resource: CALENDAR,
    within: 'create_event',
  })
  assert.deepEqual(parseRight(`call ${CALENDAR}`), { action: 'call', resource: CALENDAR })
  assert.deepEqual(parseRight(`write ${EVENTS} /api/`), { action: 'write', resource: EVENTS, within: '/api/' })
})

for (const text of [
  '',
  'call',
  `call ${CALENDAR} `,
  ` call ${CALENDAR}`,
  `call  ${CALENDAR}`,
  `get ${EVENTS}`,
  `TRACE ${EVENTS}`,
  `* ${EVENTS}`,
  'GET *',
  'GET https://example.com/',
  'GET spiffe://example.com/a/../b',
  `call ${CALENDAR} /path`,
  `GET ${EVENTS}#tool`,
  `GET ${EVENTS} api`,
  `GET ${EVENTS} /a//b`,
  `GET ${EVENTS} /a/../b`,
  `GET ${EVENTS} /a/.`,
  `GET ${EVENTS} /a?b`,
  `call ${CALENDAR}#`,
  `call ${CALENDAR}#a b`,
]) {
  test(`no right: ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseRight(text), { code: 'credential.invalid_rights' })
  })
}

test('a list has bounds, so that the WIT fits into a field', () => {
  const one = `call ${CALENDAR}#a`
  parseRights(Array.from({ length: MAX_RIGHTS }, () => one))
  assert.throws(() => parseRights(Array.from({ length: MAX_RIGHTS + 1 }, () => one)), {
    code: 'credential.invalid_rights',
  })
  const long = `GET ${EVENTS} /${'a'.repeat(500)}`
  assert.throws(() => parseRights([long, long, long, long]), { code: 'credential.invalid_rights' })
})

test('what a right covers', () => {
  for (const [right, wanted, covers] of [
    [`call ${CALENDAR}`, `call ${CALENDAR}#a`, true],
    [`call ${CALENDAR}#a`, `call ${CALENDAR}#a`, true],
    [`call ${CALENDAR}#a`, `call ${CALENDAR}`, false],
    [`call ${CALENDAR}#a`, `call ${CALENDAR}#ab`, false],
    [`call ${CALENDAR}#a`, `call ${CALENDAR}#a/b`, false],
    [`call ${CALENDAR}`, `call ${EVENTS}#a`, false],
    [`read ${EVENTS}`, `GET ${EVENTS} /x`, true],
    [`read ${EVENTS}`, `read ${EVENTS} /x`, true],
    [`read ${EVENTS}`, `POST ${EVENTS}`, false],
    [`GET ${EVENTS}`, `read ${EVENTS}`, false],
    [`write ${EVENTS}`, `DELETE ${EVENTS}`, true],
    [`call ${EVENTS}`, `GET ${EVENTS}`, false],
    [`GET ${EVENTS} /api`, `GET ${EVENTS} /api`, true],
    [`GET ${EVENTS} /api`, `GET ${EVENTS} /api/v1`, true],
    [`GET ${EVENTS} /api/`, `GET ${EVENTS} /api/v1`, true],
    [`GET ${EVENTS} /api/`, `GET ${EVENTS} /api`, false],
    [`GET ${EVENTS} /api`, `GET ${EVENTS} /apiary`, false],
    [`GET ${EVENTS} /api`, `GET ${EVENTS}`, false],
    [`GET ${EVENTS} /`, `GET ${EVENTS} /x`, true],
  ] as const) {
    assert.equal(coversRight(parseRight(right), parseRight(wanted)), covers, `${right} / ${wanted}`)
  }
})

const anyRight = fc
  .tuple(
    fc.constantFrom('call', 'read', 'write', 'GET', 'POST', 'DELETE'),
    fc.constantFrom(CALENDAR, EVENTS),
    fc.constantFrom('', '/', '/api', '/api/v1', '/api/', '/b'),
    fc.constantFrom('', '#a', '#b'),
  )
  .map(([action, resource, path, tool]) => `${action} ${resource}${action === 'call' ? tool : path && ` ${path}`}`)
const anyRights = fc.array(anyRight, { maxLength: 6 })

test('along no chain of delegations anybody may do more than those above', () => {
  fc.assert(
    fc.property(fc.array(anyRights, { minLength: 2, maxLength: 5 }), anyRight, (lists, question) => {
      const wanted = parseRight(question)
      // The chain goes on as far as each link is within the one before, which is what an issuer checks.
      const chain = [parseRights(lists[0] ?? [])]
      for (const next of lists.slice(1).map(parseRights)) if (areWithin(next, chain.at(-1) ?? [])) chain.push(next)
      const may = chain.map((rights) => areWithin([wanted], rights))
      assert.deepEqual(
        may,
        [...may].sort((a, b) => Number(b) - Number(a)),
      )
    }),
    { numRuns: 2000 },
  )
})

test('any text is a right that reads back, or refused with a code', () => {
  const text = fc.oneof(
    fc.string(),
    anyRight,
    fc.tuple(anyRight, fc.string()).map(([a, b]) => a + b),
  )
  fc.assert(
    fc.property(text, (given) => {
      try {
        const { action, resource, within } = parseRight(given)
        const mark = action === 'call' ? '#' : ' '
        assert.equal(`${action} ${resource}${within === undefined ? '' : mark + within}`, given)
      } catch (error) {
        assert.ok(AimsError.is(error) && error.code === 'credential.invalid_rights', String(error))
      }
    }),
  )
})
