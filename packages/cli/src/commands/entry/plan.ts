import { writeFileSync } from 'node:fs'
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from 'aims/base'
import { trustDomainOf } from 'aims/identifiers'
import {
  entryToJson,
  type PlannedChange,
  type PlanWarning,
  parseEntry,
  type RegistrationEntry,
} from 'aims/provisioning'
import type { FiledEntry, ServerPlan } from 'aims-server'
import type { Command } from 'commander'
import { placeOf, readEntryFiles } from '../../entries/entry-files.ts'
import { EXIT, UsageError } from '../../exit.ts'
import { FLEET, readInput } from '../../input.ts'
import { output, print } from '../../output.ts'
import { administer, type ServerOptions, serverOptions } from '../../server-options.ts'

interface PlanOptions extends ServerOptions {
  readonly prune?: true
  readonly scope: readonly string[]
  readonly reuseRetired?: true
  readonly out?: string
  readonly plan?: string
}

/** A plan with the problems where they stand in the files. */
interface LocatedPlan extends Omit<ServerPlan, 'problems'> {
  readonly problems: readonly { readonly where: string; readonly code: string; readonly message: string }[]
}

/** `aims entry plan` and `aims entry apply`: entries from files. */
export function definePlan(command: Command): void {
  const plan = command
    .command('plan')
    .description('say what would change if the entries of files were registered; exit code 1 when they cannot be')
    .argument('<path...>', 'YAML or JSON files with entries, or directories of them; - is standard input')
    .option('--out <file>', 'write the plan into a file, for aims entry apply --plan')
  serverOptions(
    planOptions(plan),
    'aims entry plan agents/',
    'aims entry plan agents/ --prune --scope /agent/ --out plan.json',
  ).action(async (paths: readonly string[], options: PlanOptions) => {
    const found = await planOf(paths, options)
    if (options.out !== undefined && found.problems.length === 0) {
      const { changes } = found
      const kept = { changes, ...reused(options) }
      writeFileSync(options.out, `${JSON.stringify(kept, undefined, 2)}\n`)
    }
    show(found, options)
  })

  const apply = command
    .command('apply')
    .description('register the entries of files: what the plan says, all of it or nothing')
    .argument('[path...]', 'YAML or JSON files with entries, or directories of them; - is standard input')
    .option('--plan <file>', 'apply a plan that aims entry plan wrote, instead of files')
  serverOptions(planOptions(apply), 'aims entry apply agents/', 'aims entry apply --plan plan.json').action(
    async (paths: readonly string[], options: PlanOptions) => {
      if ((paths.length === 0) === (options.plan === undefined)) throw new UsageError('give files, or --plan')
      const found = options.plan === undefined ? await planOf(paths, options) : undefined
      if (found !== undefined && found.problems.length > 0) return show(found, options)
      const { changes, reuseRetired } =
        found === undefined ? keptPlan(String(options.plan)) : { ...found, ...reused(options) }
      const applied = await administer(options, (admin) => admin.applyEntries(changes, { reuseRetired }))
      if (options.json === true) return print({ ok: true, applied, warnings: found?.warnings ?? [] }, true)
      if (found !== undefined) write(found)
      output.write(`applied: ${applied.length}\n`)
    },
  )
}

// A plan of ours, written by whoever may apply it: the server looks at every change of it.
function keptPlan(path: string): { readonly changes: readonly JsonObject[]; readonly reuseRetired: boolean } {
  const { changes, reuseRetired } = parseJsonObject(readInput(path, FLEET.maxLength), FLEET)
  if (!Array.isArray(changes) || !changes.every(isJsonObject)) {
    throw new UsageError('--plan takes a file that aims entry plan --out wrote')
  }
  return { changes, reuseRetired: reuseRetired === true }
}

function reused({ reuseRetired }: PlanOptions): { readonly reuseRetired: boolean } {
  return { reuseRetired: reuseRetired === true }
}

function planOptions(command: Command): Command {
  return command
    .option('--prune', 'also delete entries that are registered in the scope and not in the files')
    .option(
      '--scope <scope>',
      'what --prune may delete: an ID prefix such as /team-a/, or owner=NAME; both may be given and both must hold',
      (value: string, previous: readonly string[]) => [...previous, value],
      [],
    )
    .option('--reuse-retired', 'give SPIFFE IDs again that deleted entries had')
}

async function planOf(paths: readonly string[], options: PlanOptions): Promise<LocatedPlan> {
  const files = await readEntryFiles(paths)
  const prune = scopeOf(options)
  const body = {
    entries: files.map(({ entry }) => entry),
    ...reused(options),
    ...(prune === undefined ? {} : { prune }),
  }
  const plan = await administer(options, (admin) => admin.planEntries(body))
  return { ...plan, problems: plan.problems.map((one) => located(one, files)) }
}

function located(
  { index, code, message }: ServerPlan['problems'][number],
  files: readonly FiledEntry[],
): LocatedPlan['problems'][number] {
  const file = files[index]
  return { where: file === undefined ? `entry ${index}` : placeOf(file, message), code, message }
}

function scopeOf({ prune, scope }: PlanOptions): JsonObject | undefined {
  if (prune !== true) {
    if (scope.length > 0) throw new UsageError('--scope is for --prune')
    return undefined
  }
  if (scope.length === 0) throw new UsageError('--prune needs --scope: an ID prefix such as /team-a/, or owner=NAME')
  const found: Record<string, JsonValue> = {}
  for (const one of scope) {
    const name = one.startsWith('owner=') ? 'owner' : 'idPrefix'
    if (found[name] !== undefined) throw new UsageError('--scope takes one ID prefix and one owner')
    if (name === 'idPrefix' && !/^\/(?:[^/]+\/)*$/.test(one)) {
      throw new UsageError('--scope takes a path with a slash at both ends, such as /team-a/, or owner=NAME')
    }
    found[name] = name === 'owner' ? one.slice('owner='.length) : one
  }
  return found
}

function show(plan: LocatedPlan, { json }: ServerOptions): void {
  const ok = plan.problems.length === 0
  process.exitCode = ok ? EXIT.ok : EXIT.negative
  if (json === true) print({ ok, ...plan }, true)
  else write(plan)
}

function write({ changes, unchanged, warnings, problems }: LocatedPlan): void {
  const lines = [
    ...changes.map(inWords),
    ...warnings.map(warned),
    ...problems.map(({ where, code, message }) => `problem: ${where}: ${message} [${code}]`),
    `${counted(changes)}, ${unchanged} unchanged`,
  ]
  output.write(`${lines.join('\n')}\n`)
}

function inWords(change: PlannedChange): string {
  if (change.action === 'create') {
    const { spiffeId, selectors, owner } = change.entry
    const words = [owner === '' ? [] : `owner ${owner}`, ...powersOf(change.entry)].flat()
    return `create  ${spiffeId}  ${[selectors.join(' '), words.join(', ')].join('  ').trimEnd()}`
  }
  if (change.action === 'delete') return `delete  ${change.spiffeId}  it is in the scope and in no file`
  const after = entryToJson(change.entry)
  const members = change.members.map((name) => `${name} becomes ${JSON.stringify(after[name] ?? null)}`)
  return `update  ${change.entry.spiffeId}  ${members.join(', ')}`
}

/** What else a new entry says that one does not which names nothing: whoever reviews a plan must see a right that it gives. */
function powersOf(entry: RegistrationEntry): readonly string[] {
  const { id, spiffeId, selectors } = entry
  const plain = entryToJson(parseEntry({ id, spiffeId, selectors }, { trustDomain: trustDomainOf(spiffeId) }))
  return Object.entries(entryToJson(entry))
    .filter(([name, value]) => !TOLD.has(name) && JSON.stringify(value) !== JSON.stringify(plain[name]))
    .map(([name, value]) => `${name} ${JSON.stringify(value)}`)
}

const TOLD: ReadonlySet<string> = new Set<keyof RegistrationEntry>([
  'id',
  'spiffeId',
  'selectors',
  'owner',
  'purpose',
  'revision',
])

const WARNINGS: { readonly [kind in PlanWarning['kind']]: string } = {
  'class-selectors': 'its selectors tell a class of workloads: every one of them gets this identity',
  'shareable-selectors':
    'several workloads may have its selectors: add one that tells this workload, or say shared: true',
  'same-selectors': 'has the same selectors: workloads get both identities, as that of',
  'wider-selectors': 'its workloads also get the identity with fewer selectors',
}

function warned({ spiffeId, kind, other }: PlanWarning): string {
  return `warning: ${spiffeId}: ${WARNINGS[kind]}${other === undefined ? '' : ` ${other}`} [${kind}]`
}

function counted(changes: readonly PlannedChange[]): string {
  const count = (action: PlannedChange['action']) => changes.filter((one) => one.action === action).length
  return `${count('create')} to create, ${count('update')} to update, ${count('delete')} to delete`
}
