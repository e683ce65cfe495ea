// A policy set decides: default deny, forbid wins, and a policy that does not fit the schema does not load.
import assert from 'node:assert/strict'
import { assumePrincipal, type PrincipalFacts } from 'aims/authentication'
import { authorize, createCedarEngine, httpAction, serviceResource, toolCall } from 'aims/authorization'
import { parseWorkloadSpiffeId } from 'aims/identifiers'
import { parsePolicySet } from 'aims/policy'

const calendar = parseWorkloadSpiffeId('spiffe://example.com/service/calendar')
const policySet = await parsePolicySet([
  {
    name: 'calendar.cedar',
    text: `
      // Every agent may read the calendar, and only the bot may call the tool that adds events.
      @id("agents-read")
      permit (principal in AgentGroup::"spiffe://example.com/agent", action in Action::"read", resource)
      when { context.path like "/calendar/*" };

      @id("bot-creates-events")
      permit (
        principal == Agent::"spiffe://example.com/agent/calendar-bot",
        action == Action::"call",
        resource == Tool::"spiffe://example.com/service/calendar#create_event"
      );

      @id("no-bearer-tokens")
      forbid (principal, action, resource) when { principal.method == "jwt-svid" };
    `,
  },
])
const engine = await createCedarEngine(policySet)

// In a service the principal comes from authenticate(). Here, as in a rehearsal of policies, it is only assumed.
const facts: PrincipalFacts = {
  id: parseWorkloadSpiffeId('spiffe://example.com/agent/calendar-bot'),
  method: 'wit+wpt',
  profile: 'wimse',
  credential: { type: 'wit', id: 'wit-1' },
  covers: { method: true, target: true, body: true },
  expiresAt: 4_102_444_800,
}
const bot = assumePrincipal(facts)

const read = { action: httpAction('GET', '/calendar/today?tz=utc'), resource: serviceResource(calendar) }
assert.deepEqual(authorize({ principal: bot, ...read }, engine), {
  effect: 'allow',
  policies: ['agents-read'],
  policySet: policySet.version,
})
assert.equal(authorize({ principal: bot, ...toolCall(calendar, 'create_event') }, engine).effect, 'allow')

// Nobody mentioned deletion; and whoever has only a bearer token may do nothing at all.
const remove = { action: httpAction('DELETE', '/calendar/today'), resource: serviceResource(calendar) }
const silence = authorize({ principal: bot, ...remove }, engine)
assert.equal(silence.effect === 'deny' && silence.because, 'no-policy')
const bearer = authorize({ principal: assumePrincipal({ ...facts, method: 'jwt-svid' }), ...read }, engine)
assert.equal(bearer.effect === 'deny' && bearer.because, 'forbidden')

// A copy is not a principal: what arrives as data never becomes one.
assert.equal(authorize({ principal: structuredClone(bot), ...read }, engine).effect, 'deny')

// Two readings of one path are none.
assert.throws(() => httpAction('GET', '/calendar/%2e%2e/admin'), { code: 'authorization.ambiguous_path' })

await assert.rejects(
  parsePolicySet([{ name: 'typo.cedar', text: 'permit (principal, action == Action::"GTE", resource);' }]),
  {
    code: 'policy.invalid',
  },
)
console.log(
  `allowed by agents-read, denied by silence and by no-bearer-tokens, under ${policySet.version.slice(0, 20)}...`,
)
