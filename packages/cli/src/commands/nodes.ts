import { isJsonObject, type JsonObject } from 'aims/base'
import type { Command } from 'commander'
import { UsageError } from '../exit.ts'
import { output, print } from '../output.ts'
import { ask, type ServerOptions, serverOptions } from '../server-options.ts'

const WHICH = 'its id, its SPIFFE ID, or a selector that no other agent shows: see aims agent list'

/** `aims agent list`, `ban` and `evict`: what operators decide about agents on other hosts. */
export function defineNodes(command: Command): void {
  serverOptions(command.command('list').description('show the agents on other hosts'), 'aims agent list').action(
    async (_: unknown, itself: Command) => {
      // The parent has options of the same names.
      const options = itself.optsWithGlobals<ServerOptions>()
      const { agents } = await ask(options, { method: 'GET', path: '/v1/agents' })
      if (options.json === true) print({ ok: true, agents }, true)
      else if (Array.isArray(agents)) for (const one of agents.filter(isJsonObject)) output.write(`${summary(one)}\n`)
    },
  )

  serverOptions(
    command
      .command('ban')
      .description('refuse an agent everywhere from now on')
      .argument('<agent>', WHICH)
      .option('--revoke', 'also revoke all that it and the identities it may serve were given'),
    'aims agent ban join-token:name:edge',
    'aims agent ban join-token:name:edge --revoke',
  ).action(async (agent: string, _: unknown, itself: Command) => {
    const options = itself.optsWithGlobals<ServerOptions & { readonly revoke?: boolean }>()
    const id = await idOf(agent, options)
    const query = options.revoke === true ? '?revoke=true' : ''
    const path = `/v1/agents/${encodeURIComponent(id)}/ban${query}`
    const { spiffeId, revoked } = await ask(options, { method: 'POST', path })
    print({ ok: true, banned: id, spiffeId, revoked }, options.json === true)
  })

  serverOptions(
    command
      .command('evict')
      .description('forget an agent, banned or not: its machine may be attested anew')
      .argument('<agent>', WHICH),
    'aims agent evict join-token:name:edge',
  ).action(async (agent: string, _: unknown, itself: Command) => {
    const options = itself.optsWithGlobals<ServerOptions>()
    const id = await idOf(agent, options)
    await ask(options, { method: 'DELETE', path: `/v1/agents/${encodeURIComponent(id)}` })
    print({ ok: true, evicted: id }, options.json === true)
  })
}

// An id is taken as it is: the server knows whether there is one.
async function idOf(agent: string, options: ServerOptions): Promise<string> {
  if (!agent.includes(':')) return agent
  const { agents } = await ask(options, { method: 'GET', path: '/v1/agents' })
  const fitting = (Array.isArray(agents) ? agents.filter(isJsonObject) : []).filter(
    ({ spiffeId, selectors }) => spiffeId === agent || (Array.isArray(selectors) && selectors.includes(agent)),
  )
  const [one, ...others] = fitting
  if (one !== undefined && others.length === 0) return String(one.id)
  throw new UsageError(
    `${fitting.length === 0 ? 'no agent' : 'more than one agent'} fits: aims agent list shows them all`,
  )
}

function summary({ id, state, type, selectors, lastSeen, expiresAt }: JsonObject): string {
  const time = (value: unknown): string => new Date(Number(value) * 1000).toISOString().slice(0, 19)
  const shown = Array.isArray(selectors) ? selectors.join(' ') : ''
  return `${id}  ${state}  ${type}  seen ${time(lastSeen)}Z  until ${time(expiresAt)}Z  ${shown}`
}
