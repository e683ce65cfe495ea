import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type ChallengePurpose, createChallenges } from './challenges.ts'

const purpose: ChallengePurpose = { use: 'workload', types: ['gcp'], thumbprint: 'x', prepared: new Map() }
const unknown = { code: 'attestation.challenge_unknown' }

describe('challenges', () => {
  test('answer once, and until two minutes have passed', () => {
    const challenges = createChallenges()
    const { id, expiresAt } = challenges.open(purpose, 1000)
    assert.equal(expiresAt, 1120)
    assert.equal(challenges.take(id, 1119).id, id)
    assert.throws(() => challenges.take(id, 1119), unknown)
    const late = challenges.open(purpose, 1000)
    assert.throws(() => challenges.take(late.id, 1120), unknown)
  })

  test('are bounded in number, and whoever asks for many keeps nobody else out', () => {
    const challenges = createChallenges()
    const first = challenges.open(purpose, 1000)
    const second = challenges.open(purpose, 1000)
    for (let i = 0; i < 9999; i += 1) challenges.open(purpose, 1001)
    assert.throws(() => challenges.take(first.id, 1002), unknown)
    assert.equal(challenges.take(second.id, 1002).id, second.id)
    const mine = challenges.open(purpose, 1002)
    assert.equal(challenges.take(mine.id, 1003).id, mine.id)
  })
})
