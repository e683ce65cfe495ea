import { isJsonObject, type JsonObject, type JsonValue } from 'aims/base'
import type { Command } from 'commander'
import { UsageError } from '../exit.ts'
import { withExamples } from '../help.ts'
import { output, print, visible } from '../output.ts'
import { ask, type ServerOptions, serverOptions } from '../server-options.ts'

/** Milliseconds. The server may have to wait for a key manager or for a server above it. */
const STEP_TIMEOUT = 60_000

interface StepOptions extends ServerOptions {
  readonly purpose: string
  readonly id?: string
  readonly forceUnpublished?: true
}

const PURPOSES = ['x509-ca', 'jwt', 'wit']

/** `aims authority`: the keys that sign for the trust domain, step by step. */
export function define(command: Command): void {
  withExamples(
    command,
    'aims authority list',
    'aims authority prepare --purpose x509-ca    # then, once it was published for keys.publishAhead:',
    'aims authority activate --purpose x509-ca   # and, when the old one is not to be relied on:',
    'aims authority taint --purpose x509-ca      # and, when all have new credentials:',
    'aims authority revoke --purpose x509-ca',
  )
  serverOptions(
    command
      .command('list')
      .description('show the signing keys with their state: prepared, active, retired, tainted')
      .option('--purpose <purpose>', `only those of one purpose: ${PURPOSES.join(', ')}`),
    'aims authority list',
    'aims authority list --purpose x509-ca',
  ).action(async (options: ServerOptions & { readonly purpose?: string }) => {
    if (options.purpose !== undefined) requirePurpose(options.purpose)
    const { keys } = await ask(options, { method: 'GET', path: '/v1/keys' })
    const list = (Array.isArray(keys) ? keys : []).filter(isJsonObject)
    const shown = list.filter(({ purpose }) => options.purpose === undefined || purpose === options.purpose)
    if (options.json === true) print({ ok: true, authorities: shown }, true)
    else for (const key of shown) output.write(`${visible(summary(key))}\n`)
  })

  step(
    command,
    'prepare',
    'publish a successor now; it signs when activated, or when its time has come',
    'aims authority prepare --purpose x509-ca',
  )
  step(
    command,
    'activate',
    'sign with the prepared authority from now on; the one before is retired',
    'aims authority activate --purpose x509-ca',
  )
  step(
    command,
    'taint',
    'have all that a retired authority signed replaced at once; it stays in the bundle',
    'aims authority taint --purpose x509-ca',
  )
  step(
    command,
    'revoke',
    'take a tainted (or never used) authority out of the bundle at once',
    'aims authority revoke --purpose x509-ca',
  )
}

/** The state that an authority must be in for a step that names one. */
const FITTING: { readonly [step in StepName]?: string } = { taint: 'retired', revoke: 'tainted' }

/** What comes before a step that finds nothing to do. */
const FIRST: { readonly [step in StepName]?: string } = {
  taint: 'prepare and activate a successor first, which retires the one that signs',
  revoke: 'taint the retired one first, or name with --id one that has signed nothing',
}

// What is destroyed is not guessed: without --id there must be exactly one.
async function onlyOne(step: StepName, options: StepOptions): Promise<string | undefined> {
  const state = FITTING[step]
  if (state === undefined) return undefined
  const { keys } = await ask(options, { method: 'GET', path: '/v1/keys' })
  const fitting = (Array.isArray(keys) ? keys.filter(isJsonObject) : []).filter(
    (key) => key.purpose === options.purpose && key.state === state,
  )
  const [one, ...others] = fitting
  if (one !== undefined && others.length === 0) return String(one.id)
  if (one !== undefined)
    throw new UsageError(
      `${fitting.length} authorities are ${state}: name one with --id, as aims authority list shows it`,
    )
  throw new UsageError(`no authority of ${options.purpose} is ${state}: ${FIRST[step]}`)
}

type StepName = 'prepare' | 'activate' | 'taint' | 'revoke'

function step(parent: Command, name: StepName, description: string, example: string): void {
  const command = parent
    .command(name)
    .description(description)
    .requiredOption('--purpose <purpose>', `what it signs: ${PURPOSES.join(', ')}`)
  if (name in FITTING) command.option('--id <id>', 'which one, as list shows it; default: the one that is there to be')
  if (name === 'activate') {
    command.option(
      '--force-unpublished',
      'before keys.publishAhead is over: VERIFIERS WITH AN OLDER BUNDLE WILL REFUSE',
    )
  }
  serverOptions(command, example).action(async (options: StepOptions) => {
    requirePurpose(options.purpose)
    if (options.forceUnpublished === true) {
      process.stderr.write(
        'aims: forced: verifiers that have not fetched the bundle since will refuse what is signed now\n',
      )
    }
    const id = options.id ?? (await onlyOne(name, options))
    const body = {
      purpose: options.purpose,
      ...(id === undefined ? {} : { id }),
      ...(options.forceUnpublished === true ? { force: true } : {}),
    }
    const request = { method: 'POST', path: `/v1/keys/${name}`, body, timeout: STEP_TIMEOUT } as const
    const { key: answered } = await ask(options, request)
    // What was revoked is gone: the server tells what it was before.
    const key = name === 'revoke' && isJsonObject(answered) ? { ...answered, state: 'revoked' } : answered
    if (options.json === true) print({ ok: true, authority: key ?? null }, true)
    else if (isJsonObject(key)) output.write(`${visible(summary(key))}\n`)
  })
}

function requirePurpose(purpose: string): void {
  if (!PURPOSES.includes(purpose)) throw new UsageError(`--purpose is one of ${PURPOSES.join(', ')}`)
}

function summary({ purpose, state, id, thumbprint, activateAt, expiresAt }: JsonObject): string {
  return `${purpose}  ${state}  ${id}  ${thumbprint}  signs from ${day(activateAt)}, ends ${day(expiresAt)}`
}

function day(seconds: JsonValue | undefined): string {
  return new Date(Number(seconds) * 1000).toISOString().slice(0, 19).concat('Z')
}
