import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { AimsError, readKeyEncryptionKey } from 'aims/base'
import { checkBackup, downloadBackup } from 'aims-server'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../exit.ts'
import { withExamples } from '../help.ts'
import { readInput } from '../input.ts'
import { print, refusal } from '../output.ts'
import { connect, type ServerOptions, serverOptions } from '../server-options.ts'

const NO_KEY =
  'the key-encryption key is NOT in it: without that key nobody can restore it. Keep a copy of it elsewhere'

interface VerifyOptions {
  readonly from: string
  readonly keyFile?: string
  readonly checkpoint: readonly string[]
  readonly json?: true
}

/** `aims backup`: a copy of store and log of a server that runs, and the check of such a copy. */
export function define(command: Command): void {
  withExamples(
    command,
    'aims backup --to /srv/backups/2026-11-26',
    'aims backup verify --from /srv/backups/2026-11-26 --key-file /etc/aims/kek',
    'aims restore --from /srv/backups/2026-11-26 --config aims.yaml   # into an empty data directory',
  )
  serverOptions(
    command
      .command('create', { isDefault: true })
      .description('copy store and log of a server that runs into a new directory; aims backup alone does this')
      .requiredOption('--to <directory>', 'is created; holds manifest.json, store.sqlite and log.sqlite'),
    'aims backup --to /srv/backups/2026-11-26',
  ).action(create)

  const check = command
    .command('verify')
    .description('check a backup: hashes, the log and its checkpoint, and with the key the seal of the store')
    .requiredOption('--from <directory>', 'the backup')
    .option('--key-file <path>', 'the key-encryption key it was made under')
    .option('--checkpoint <file>', 'a checkpoint you kept: the log must continue it; repeatable', collect, [])
    .option('--json', 'print one JSON object and nothing else')
    .action(verify)
  withExamples(check, 'aims backup verify --from /srv/backups/2026-11-26 --key-file /etc/aims/kek')
}

async function create(options: ServerOptions & { readonly to: string }): Promise<void> {
  const to = resolve(options.to)
  if (existsSync(to)) throw new UsageError(`${to} exists: name a directory that does not`)
  const api = await connect(options)
  try {
    const { manifest } = await downloadBackup(api, to)
    const { id, logSize, checkpoint } = manifest
    print({ ok: true, to, id, logSize, checkpoint, warnings: [NO_KEY] }, options.json === true)
  } finally {
    api.close()
  }
}

async function verify(options: VerifyOptions): Promise<void> {
  const key = options.keyFile === undefined ? undefined : readKeyEncryptionKey(options.keyFile)
  if (options.keyFile !== undefined && key === undefined) {
    throw new AimsError('operation.key_file_missing', `${options.keyFile}: no such file`)
  }
  const remembered = options.checkpoint.map((path) => readInput(path).toString())
  let result: Parameters<typeof print>[0]
  try {
    const { manifest, isSealChecked } = await checkBackup(options.from, { key, remembered })
    const warnings = isSealChecked ? [] : ['the seal was not checked: pass --key-file']
    result = { ok: true, ...manifest, isSealChecked, warnings }
  } catch (error) {
    result = refusal(error)
    process.exitCode = EXIT.negative
  }
  print(result, options.json === true)
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value]
}
