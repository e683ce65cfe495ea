import { AimsError } from 'aims/base'
import { Command, CommanderError } from 'commander'
import { EXIT, FailedError, UsageError } from './exit.ts'
import { exitCodeFor } from './exit-codes.ts'
import { withExitCodes } from './help.ts'
import { meaningOf } from './meaning.ts'
import { output, print, visible } from './output.ts'
import { VERSION } from './version.ts'

/** A command module defines its options and action on the command it is given. */
interface CommandModule {
  define(command: Command): void
}

/** Every command, with its one line of help. The module is loaded only when its command runs. */
const COMMANDS: { readonly [name: string]: readonly [string, () => Promise<CommandModule>] } = {
  dev: ['start server and agent in one process for development', () => import('./commands/dev.ts')],
  server: ['start the identity server', () => import('./commands/server.ts')],
  agent: [
    'start the node agent with the SPIFFE Workload API; list, ban, evict and retire agents',
    () => import('./commands/agent.ts'),
  ],
  gateway: ['authenticate callers in front of a service without code', () => import('./commands/gateway.ts')],
  token: ['make join tokens for agents on other hosts', () => import('./commands/token.ts')],
  secret: ['keep secrets of older services for the credential broker', () => import('./commands/secret.ts')],
  id: ['check identifiers', () => import('./commands/id.ts')],
  entry: ['register workloads', () => import('./commands/entry.ts')],
  revoke: ['refuse what was issued to an identity, or one credential or key', () => import('./commands/revoke.ts')],
  svid: ['fetch credentials from the Workload API', () => import('./commands/svid.ts')],
  authority: ['rotate, taint and revoke signing keys', () => import('./commands/authority.ts')],
  bundle: ['show trust bundles, and federate with other trust domains', () => import('./commands/bundle.ts')],
  verify: ['judge credentials, proofs, requests and evidence offline', () => import('./commands/verify.ts')],
  attest: ['judge evidence of platforms, and list its kinds', () => import('./commands/attest.ts')],
  decide: ['ask what a policy set says about an access', () => import('./commands/decide.ts')],
  policy: ['validate policy sets', () => import('./commands/policy.ts')],
  audit: ['list, prove and verify the log', () => import('./commands/audit.ts')],
  explain: ['say what a code or a recorded refusal means and what to change', () => import('./commands/explain.ts')],
  compliance: ['show what the framework asks and what answers it', () => import('./commands/compliance.ts')],
  backup: ['copy store and log of a server that runs, and check such a copy', () => import('./commands/backup.ts')],
  restore: ['put a backup into an empty data directory', () => import('./commands/restore.ts')],
  doctor: ['look for misconfiguration', () => import('./commands/doctor.ts')],
}

/** Runs one command line and returns the exit code. */
export async function run(args: readonly string[]): Promise<number> {
  const json = args.includes('--json')
  const program = new Command('aims')
    .description('Agent Identity Management System: identity, credentials, proof, policy and evidence for AI agents')
    .version(VERSION)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => output.write(text),
      writeErr: (text) => process.stderr.write(json ? '' : text),
    })
  // Set by the action that runs; a command that sets nothing has done its work.
  process.exitCode = EXIT.ok
  const chosen = COMMANDS[args[0] ?? '']
  for (const [name, [summary, load]] of Object.entries(COMMANDS)) {
    const command = program.command(name).description(summary).exitOverride()
    if (COMMANDS[name] === chosen) {
      ;(await load()).define(command)
      inherit(command)
    }
  }
  try {
    if (args.filter((arg) => arg === '-').length > 1) {
      throw new UsageError('standard input can be read once: only one option takes -')
    }
    await program.parseAsync(args, { from: 'user' })
    return Number(process.exitCode)
  } catch (error) {
    return report(error, json)
  }
}

// Subcommands behave like their parent: no exit of their own, errors as JSON where asked.
function inherit(command: Command): void {
  withExitCodes(command)
  for (const child of command.commands) {
    child.exitOverride()
    child.copyInheritedSettings(command)
    inherit(child)
  }
}

function report(error: unknown, json: boolean): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.ok
    if (error.code === 'commander.help') return EXIT.usage
    return say('operation.usage', error.message.replace(/^error: /, ''), EXIT.usage, json, false)
  }
  if (error instanceof UsageError || error instanceof TypeError)
    return say('operation.usage', error.message, EXIT.usage, json)
  if (error instanceof FailedError) return say(error.code, error.message, EXIT.failed, json)
  if (AimsError.is(error)) return say(error.code, error.message, exitCodeFor(error), json)
  // A defect of ours: the stack helps, and carries no secrets because messages carry none.
  return say(
    'operation.defect',
    error instanceof Error ? (error.stack ?? error.message) : String(error),
    EXIT.failed,
    json,
  )
}

function say(code: string, message: string, exit: number, json: boolean, onError = true): number {
  const hint = meaningOf(code)
  // A server without more to say says what the code means.
  const isSaid = hint === undefined || message.startsWith(hint)
  if (json) print({ ok: false, code, message, hint }, true)
  else if (onError) process.stderr.write(visible(`aims: ${message} [${code}]\n${isSaid ? '' : `      ${hint}\n`}`))
  return exit
}
