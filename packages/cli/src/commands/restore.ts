import { resolve } from 'node:path'
import { restoreBackup } from 'aims-server'
import type { Command } from 'commander'
import { withExamples } from '../help.ts'
import { print } from '../output.ts'
import { configOf } from '../server-options.ts'

interface Options {
  readonly from: string
  readonly dataDirectory?: string
  readonly keyFile?: string
  readonly trustDomain?: string
  readonly config?: string
  readonly acceptRollback?: true
  readonly json?: true
}

/** `aims restore`: puts a backup into an empty data directory. */
export function define(command: Command): void {
  const complete = command
    .requiredOption('--from <directory>', 'the backup')
    .option('--data-directory <path>', 'an empty directory, or one that does not exist; default: the configuration')
    .option('--key-file <path>', 'the key-encryption key it was made under; default: the configuration')
    .option('--trust-domain <name>', 'the trust domain it must be of; default: the configuration')
    .option('--config <file>', 'configuration file of the server')
    .option('--accept-rollback', 'the backup is older than what is remembered, and right; the log says so')
    .option('--json', 'print one JSON object and nothing else')
    .action(restore)
  withExamples(complete, 'aims restore --from /srv/backups/2026-11-26 --config aims.yaml')
}

async function restore(options: Options): Promise<void> {
  const { from, dataDirectory, keyFile, trustDomain, acceptRollback = false } = options
  const config = await configOf(options, {
    ...(dataDirectory === undefined ? {} : { dataDirectory: resolve(dataDirectory) }),
    ...(keyFile === undefined ? {} : { keyEncryptionKeyFile: resolve(keyFile) }),
    ...(trustDomain === undefined ? {} : { trustDomain }),
  })
  const { manifest, lost } = await restoreBackup(config, { from, acceptRollback })
  const names = lost.map(({ type, id, spiffeId }) => [type, id, spiffeId].join(' ').trimEnd())
  const { id, createdAt, logSize } = manifest
  print({ ok: true, dataDirectory: config.dataDirectory, id, createdAt, logSize, lost: names }, options.json === true)
}
