import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTrustDomain } from '../../identifiers/trust-domain.ts'
import { parseEntry, type RegistrationEntry } from '../entry.ts'
import { isAgent, requireAgentRules } from './agent-rules.ts'
import { selectorStrength } from './selector-strength.ts'

const trustDomain = parseTrustDomain('example.com')

function entry(change: object): RegistrationEntry {
  const good = { spiffeId: 'spiffe://example.com/agent/bot', selectors: ['unix:uid:1000'], owner: 'team', purpose: 'x' }
  return parseEntry({ ...good, ...change }, { trustDomain, id: 'bot' })
}

// One row per set of selectors: what it tells at best.
for (const [selectors, strength] of [
  [['unix:uid:1000'], 'one'],
  [['unix:gid:1000'], 'class'],
  [['unix:gid:1000', 'unix:uid:1000'], 'one'],
  [['unix:supplementary_group:docker', 'unix:group:agents'], 'class'],
  [['unix:path:/usr/bin/node'], 'class'],
  [['unix:path:/usr/bin/python3.12'], 'class'],
  [['unix:path:/bin/bash', 'docker:image_id:example.com/agent:1'], 'class'],
  [['unix:path:/opt/bot/bin/bot'], 'one'],
  [['unix:path:/opt/node/bin/bot'], 'one'],
  [['unix:path:/opt/bot/nodeagent'], 'one'],
  [[`unix:sha256:${'ab'.repeat(32)}`], 'several'],
  [['docker:image_digest:bot@sha256:00'], 'class'],
  [['docker:label:agent:bot', 'docker:image_id:bot:1'], 'one'],
  [['k8s:ns:agents', 'k8s:sa:bot'], 'several'],
  [['k8s:ns:agents', 'k8s:node-name:n1'], 'class'],
  [['k8s:ns:agents', 'k8s:sa:bot', 'k8s:pod-label:agent:bot'], 'one'],
  [['aws:iam:account_id:123456789012'], 'class'],
  [['aws:iam:arn:arn:aws:iam::123456789012:role/bot'], 'several'],
  [['aws_iid:region:eu-west-1', 'tpm:ek:00'], 'one'],
  [['aws:nitro:pcr0:00', 'tpm:pcr:0:00'], 'several'],
  [['aws:nitro:instance:id:i-0'], 'one'],
  [['own:kind:x'], 'one'],
] as const) {
  test(`${selectors.join(' and ')} tells ${strength}`, () => {
    assert.equal(selectorStrength({ selectors }), strength)
  })
}

// One row per rule of agents: what breaks it alone, and the code. [identifiers.aims.05]
for (const [what, change, code] of [
  ['without an owner', { owner: '' }, 'provisioning.owner_missing'],
  ['with an owner of blanks', { owner: ' ' }, 'provisioning.owner_missing'],
  ['without a purpose', { purpose: '' }, 'provisioning.purpose_missing'],
  ['told by its group alone', { selectors: ['unix:gid:5'] }, 'provisioning.class_selectors'],
  ['told by its interpreter alone', { selectors: ['unix:path:/usr/bin/node'] }, 'provisioning.class_selectors'],
] as const) {
  test(`an agent ${what} is refused, and the same entry elsewhere is not`, () => {
    assert.throws(() => requireAgentRules(entry(change)), { code })
    requireAgentRules(entry({ ...change, spiffeId: 'spiffe://example.com/service/bot' }))
    assert.throws(() => requireAgentRules(entry({ ...change, spiffeId: 'spiffe://example.com/b/bot' }), ['/b/']), {
      code,
    })
  })
}

// [provisioning.fleet.04]
test('several agents that are meant to have one identity say so', () => {
  requireAgentRules(entry({ selectors: ['unix:gid:5'], shared: true }))
  requireAgentRules(entry({ selectors: ['k8s:ns:agents', 'k8s:sa:bot'] }))
})

test('a path that only begins like that of agents is not one of an agent', () => {
  assert.equal(isAgent(entry({ spiffeId: 'spiffe://example.com/agents/bot' }), ['/agent/']), false)
  assert.equal(isAgent(entry({}), ['/agent/']), true)
  assert.equal(isAgent(entry({}), []), false)
})
