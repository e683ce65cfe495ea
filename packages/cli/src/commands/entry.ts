import type { JsonObject } from 'aims/base'
import { AimsError, isJsonObject, parseJsonObject } from 'aims/base'
import type { Command } from 'commander'
import { UsageError } from '../exit.ts'
import { withExamples } from '../help.ts'
import { readInput } from '../input.ts'
import { output, print } from '../output.ts'
import { ask, type ServerOptions, serverOptions } from '../server-options.ts'
import { defineImport } from './entry/import.ts'
import { definePlan } from './entry/plan.ts'

interface CreateOptions extends ServerOptions {
  readonly spiffeId?: string
  readonly selector: readonly string[]
  readonly owner?: string
  readonly purpose?: string
  readonly shared?: true
  readonly hint?: string
  readonly agent: readonly string[]
  readonly dnsName: readonly string[]
  readonly profile?: string
  readonly audience: readonly string[]
  readonly x509Ttl?: string
  readonly jwtTtl?: string
  readonly witTtl?: string
  readonly federatesWith: readonly string[]
  readonly admin?: true
  readonly file?: string
  readonly reuseRetired?: true
}

const CREATE_EXAMPLE =
  "aims entry create --spiffe-id spiffe://example.com/agent/mail-bot --selector unix:uid:1000 --owner mail-team --purpose 'sorts mail'"

/** `aims entry`: who is who. An entry says which workload, told by its selectors, gets which SPIFFE ID. */
export function define(command: Command): void {
  withExamples(command, CREATE_EXAMPLE, 'aims entry plan agents/', 'aims entry apply agents/', 'aims entry list')
  serverOptions(
    command
      .command('create')
      .description('register a workload')
      .option('--spiffe-id <id>', 'the identity')
      .option(
        '--selector <selector>',
        'what must be true of the workload, e.g. unix:uid:1000; repeatable, all must hold',
        collect,
        [],
      )
      .option('--owner <name>', 'who answers for the agent')
      .option('--purpose <text>', 'what the agent is for')
      .option('--shared', 'several workloads at a time are meant to have this identity')
      .option('--hint <text>', 'tells several identities of one workload apart')
      .option(
        '--agent <group>',
        'an agent on another host that serves it: its SPIFFE ID, or selectors it shows with blanks between; repeatable',
        collect,
        [],
      )
      .option('--dns-name <name>', 'DNS name in the certificate; repeatable', collect, [])
      .option('--profile <name>', 'shape of its WITs')
      .option('--audience <uri>', 'profile aims-00: aud of its WITs; repeatable', collect, [])
      .option('--x509-ttl <seconds>', 'lifetime of X.509-SVIDs')
      .option('--jwt-ttl <seconds>', 'lifetime of JWT-SVIDs')
      .option('--wit-ttl <seconds>', 'lifetime of WITs')
      .option('--federates-with <trust-domain>', 'also gets the bundle of this trust domain; repeatable', collect, [])
      .option('--admin', 'may use the administration API')
      .option('--file <path>', 'take the entry from a JSON file instead')
      .option('--reuse-retired', 'give a SPIFFE ID again that a deleted entry had'),
    CREATE_EXAMPLE,
  ).action(async (options: CreateOptions) => {
    const query = options.reuseRetired === true ? '?reuseRetired=true' : ''
    show(await ask(options, { method: 'POST', path: `/v1/entries${query}`, body: entryOf(options) }), options)
  })

  serverOptions(
    command
      .command('list')
      .description('show all entries')
      .option('--retired', 'show deleted entries instead: their SPIFFE IDs are not given again'),
    'aims entry list --retired',
  ).action(async (options: ServerOptions & { readonly retired?: true }) => {
    const name = options.retired === true ? 'retired' : 'entries'
    const answer = await ask(options, {
      method: 'GET',
      path: options.retired === true ? '/v1/retired-entries' : '/v1/entries',
    })
    const list = answer[name]
    if (options.json === true) print({ ok: true, [name]: list }, true)
    else if (Array.isArray(list)) {
      for (const one of list.filter(isJsonObject)) output.write(`${summary(one)}\n`)
    }
  })

  serverOptions(
    command
      .command('show')
      .description('show one entry')
      .argument('<id>', 'the SPIFFE ID, or the id of the entry; with --retired the SPIFFE ID')
      .option('--retired', 'show the last entry of a SPIFFE ID that is not registered any more'),
    'aims entry show spiffe://example.com/agent/calendar-bot',
    'aims entry show --retired spiffe://example.com/agent/calendar-bot',
  ).action(async (id: string, options: ServerOptions & { readonly retired?: true }) => {
    if (options.retired === true) {
      const path = `/v1/retirements?spiffeId=${encodeURIComponent(id)}`
      show(await ask(options, { method: 'GET', path }), options)
      return
    }
    show(await ask(options, { method: 'GET', path: await pathOf(id, options) }), options)
  })

  serverOptions(
    command
      .command('delete')
      .description('delete an entry; its SPIFFE ID is retired')
      .argument('<id>', 'the SPIFFE ID, or the id of the entry'),
    'aims entry delete spiffe://example.com/agent/calendar-bot',
  ).action(async (id: string, options: ServerOptions) => {
    await ask(options, { method: 'DELETE', path: await pathOf(id, options) })
    print({ ok: true, deleted: id }, options.json === true)
  })

  definePlan(command)
  defineImport(command)
}

// One entry per SPIFFE ID, so either name is enough.
async function pathOf(name: string, options: ServerOptions): Promise<string> {
  return `/v1/entries/${encodeURIComponent(name.startsWith('spiffe://') ? await idOf(name, options) : name)}`
}

async function idOf(spiffeId: string, options: ServerOptions): Promise<string> {
  const { entries } = await ask(options, { method: 'GET', path: '/v1/entries' })
  const found = (Array.isArray(entries) ? entries.filter(isJsonObject) : []).find((one) => one.spiffeId === spiffeId)
  if (found !== undefined) return String(found.id)
  throw new AimsError('provisioning.entry_not_found', 'no entry has this SPIFFE ID: aims entry list shows them all')
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value]
}

function entryOf(options: CreateOptions): JsonObject {
  if (options.file !== undefined) return parseJsonObject(readInput(options.file))
  const { spiffeId, selector, owner, purpose, shared, hint, agent, dnsName, profile, audience, admin } = options
  if (spiffeId === undefined || selector.length === 0)
    throw new UsageError('give --spiffe-id and at least one --selector')
  return {
    spiffeId,
    selectors: selector,
    ...(owner === undefined ? {} : { owner }),
    ...(purpose === undefined ? {} : { purpose }),
    ...(shared === true ? { shared } : {}),
    ...(hint === undefined ? {} : { hint }),
    ...(agent.length === 0 ? {} : { agents: agent.map(groupOf) }),
    ...(dnsName.length === 0 ? {} : { dnsNames: dnsName }),
    ...(profile === undefined ? {} : { profile }),
    ...(audience.length === 0 ? {} : { audiences: audience }),
    ...seconds('x509Ttl', options.x509Ttl),
    ...seconds('jwtTtl', options.jwtTtl),
    ...seconds('witTtl', options.witTtl),
    ...(options.federatesWith.length === 0 ? {} : { federatesWith: options.federatesWith }),
    ...(admin === true ? { admin } : {}),
  }
}

function groupOf(text: string): string | string[] {
  return text.startsWith('spiffe://') ? text : text.split(/ +/)
}

function seconds(name: string, text: string | undefined): JsonObject {
  if (text === undefined) return {}
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new UsageError('a TTL is a whole number of seconds')
  return { [name]: Number(text) }
}

function show(entry: JsonObject, options: ServerOptions): void {
  print({ ok: true, ...entry }, options.json === true)
}

function summary({ id, spiffeId, selectors, owner, retiredAt }: JsonObject): string {
  if (typeof retiredAt === 'number') return [id, spiffeId, new Date(retiredAt * 1000).toISOString()].join('  ')
  return [id, spiffeId, Array.isArray(selectors) ? selectors.join(' ') : '', owner].join('  ').trimEnd()
}
