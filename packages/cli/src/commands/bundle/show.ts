import { isJsonObject, type JsonObject } from 'aims/base'
import { parseBundle, serializeJwks, serializePemBundle, type TrustBundle } from 'aims/credentials'
import { parseTrustDomain, type TrustDomain } from 'aims/identifiers'
import type { Command } from 'commander'
import { FailedError, UsageError } from '../../exit.ts'
import { output } from '../../output.ts'
import { ask, type ServerOptions, serverOptions } from '../../server-options.ts'

interface Options extends ServerOptions {
  readonly includeWit?: true
  readonly trustDomain?: string
  readonly format: string
}

const FORMATS: { readonly [format: string]: (bundle: TrustBundle) => string } = {
  pem: serializePemBundle,
  jwks: ({ jwtAuthorities, witAuthorities }) => `${serializeJwks(new Map([...jwtAuthorities, ...witAuthorities]))}\n`,
}

/** `aims bundle show`: the bundle of the own trust domain, or of one it federates with, in the form that others read. */
export function defineShow(parent: Command): void {
  serverOptions(
    parent
      .command('show')
      .description('print the bundle of the trust domain, or of another one that is federated with')
      .option('--trust-domain <name>', 'another trust domain; its bundle as workloads get it')
      .option('--format <form>', 'spiffe (JSON), pem (CA certificates) or jwks (keys of JWT-SVIDs and WITs)', 'spiffe')
      .option('--include-wit', 'also the keys of WITs, which older readers of SPIFFE bundles refuse'),
    'aims bundle show --include-wit > bundle.json',
  ).action(async (options: Options) => {
    const { format, trustDomain: name } = options
    const write = Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined
    if (write === undefined && format !== 'spiffe') throw new UsageError('--format takes spiffe, pem or jwks')
    const document = withoutWit(await ask(options, { method: 'GET', path: pathOf(name) }), options)
    const text = JSON.stringify(document, exact)
    // The keys say nothing of their trust domain; for an own one any name does.
    const domain: TrustDomain = parseTrustDomain(name ?? 'own.invalid')
    output.write(write === undefined ? `${text}\n` : write(parseBundle(text, domain).bundle))
  })
}

function pathOf(name: string | undefined): string {
  return name === undefined ? '/v1/bundle?include=wit-svid' : `/v1/federation/${encodeURIComponent(name)}/bundle`
}

function withoutWit(document: JsonObject, { includeWit, format }: Options): JsonObject {
  const { keys } = document
  // A JWK Set is for readers that know both kinds.
  if (includeWit === true || format === 'jwks' || !Array.isArray(keys)) return document
  return { ...document, keys: keys.filter((key) => !isJsonObject(key) || key.use !== 'wit-svid') }
}

// JSON.stringify cannot write a number beyond 2^53 without losing digits.
export function exact(_name: string, value: unknown): unknown {
  if (typeof value === 'bigint') throw new FailedError('operation.invalid_response', 'the sequence number is too large')
  return value
}
