import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { canonicalizeAgentCard } from '@a2a-js/sdk'
import { canonicalAgentCard } from '../../packages/aims/src/adapters/a2a/canonical-card.ts'
import { verifyAgentCard } from '../../packages/aims/src/adapters/a2a/verify-card.ts'
import { isJsonObject, parseJsonObject } from '../../packages/aims/src/base/json.ts'
import { testDomain } from '../support/identities.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

suite('a2a-agent-card', 'oauth/a2a', (dir): readonly Case[] => {
  const example = parseJsonObject(readFileSync(join(dir, 'agent-card-canonicalization.json')))
  const sample = readFileSync(join(dir, 'sample-agent-card-v1.json'))
  const { input, canonical } = example
  return [
    {
      id: 'specification-8.4.1',
      expected: 'accept',
      run: () => outcomeOf(() => same(isJsonObject(input) ? canonicalAgentCard(input) : '', canonical)),
    },
    {
      id: 'sample-card-as-the-official-sdk-reads-it',
      expected: 'accept',
      run: () =>
        outcomeOf(() => {
          const official = canonicalizeAgentCard(JSON.parse(sample.toString()))
          same(canonicalAgentCard(parseJsonObject(sample)), official)
        }),
    },
    {
      id: 'sample-card-says-not-whose-it-is',
      expected: 'reject',
      code: 'a2a.card_unbound',
      run: () => outcomeOf(() => verifyAgentCard(sample, { bundles: testDomain().bundles, peer: () => true, now: 0 })),
    },
  ]
})

function same(actual: string, expected: unknown): void {
  if (actual !== expected) throw new Error('differs from the expected output')
}
