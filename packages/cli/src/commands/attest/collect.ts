import { type AttestationType, bindingAudience, type CollectorChallenge } from 'aims/attestation'
import type { Command } from 'commander'
import { COLLECTOR_TYPES, type CollectorSettings, type CollectorType } from '../../evidence-collectors.ts'
import { readPublicKey } from '../../evidence-files.ts'
import { type BindingOptions, bindingOptions } from '../../evidence-judging.ts'
import { findEvidenceType } from '../../evidence-types.ts'
import { FailedError, UsageError } from '../../exit.ts'
import { print } from '../../output.ts'
import { writeSecret } from '../svid.ts'

interface Options extends BindingOptions, CollectorSettings {
  readonly type: string
  readonly output: string
  readonly json?: true
}

/** `aims attest collect`: the evidence that this machine has, into a file. */
export function defineCollect(parent: Command): void {
  const command = parent
    .command('collect')
    .description('collect evidence of this machine, for the challenge of a server or an audience')
    .requiredOption('--type <name>', `one of ${Object.keys(COLLECTOR_TYPES).join(', ')}`)
    .requiredOption('--output <file>', 'the evidence, mode 0600: some kinds are good for whoever has them')
  bindingOptions(command)
    .option('--endpoint <origin>', 'the metadata service, where it is not at its usual address')
    .option('--region <name>', 'aws-sts: the region whose endpoint will be asked')
    .option('--resource <uri>', 'azure-msi: the application id URI of the server')
    .option('--cluster <name>', 'kubernetes: the name under which the server knows the cluster')
    .option('--token-file <file>', 'kubernetes: a projected token, for service accounts that may not create tokens')
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText(
      'after',
      '\nExample:\n  $ aims attest collect --type gcp --audience https://example.com/attest --output token.jwt',
    )
  command.action((options: Options) => collect(options))
}

async function collect(options: Options): Promise<void> {
  const type = findEvidenceType(options.type)?.type ?? options.type
  const chosen = Object.hasOwn(COLLECTOR_TYPES, type) ? COLLECTOR_TYPES[type] : undefined
  if (chosen === undefined) throw new UsageError(`--type takes one of ${Object.keys(COLLECTOR_TYPES).join(', ')}`)
  const collector = chosen.collector(options)
  const evidence = await collector.collect(readChallenge(collector.type, chosen, options))
  if (evidence === undefined)
    throw new FailedError('attestation.collection_failed', `this machine has no ${type} evidence`)
  writeSecret(options.output, Buffer.from(evidence))
  print({ ok: true, type, output: options.output, bytes: evidence.length }, options.json === true)
}

function readChallenge(
  type: AttestationType,
  { needs }: CollectorType,
  { nonce, key, audience, trustDomain = '' }: Options,
): CollectorChallenge {
  const now = Date.now() / 1000
  if (nonce === undefined || key === undefined) {
    if (nonce !== undefined || key !== undefined) throw new UsageError('a challenge is --nonce and --key together')
    if (needs === 'key') throw new UsageError(`${type} needs --nonce and --key: it signs both`)
    if (needs === 'audience' && audience === undefined)
      throw new UsageError(`${type} needs --audience, or --nonce and --key`)
    return { challenge: NOTHING, trustDomain, audience: audience ?? '', now }
  }
  if (!/^[0-9a-fA-F]{64}$/.test(nonce)) throw new UsageError('--nonce takes the 32 bytes of the challenge in hex')
  if (audience !== undefined) throw new UsageError('the audience follows from --nonce and --key')
  if (needs === 'audience' && trustDomain === '')
    throw new UsageError(`${type} needs --trust-domain with --nonce and --key`)
  const challenge = { nonce: Buffer.from(nonce, 'hex'), publicKey: readPublicKey(key) }
  return { challenge, trustDomain, audience: bindingAudience(type, challenge, trustDomain), now }
}

// For types that look at the audience alone, or at nothing.
const NOTHING: CollectorChallenge['challenge'] = { nonce: new Uint8Array(32), publicKey: new Uint8Array() }
