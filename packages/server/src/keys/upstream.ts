import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { AimsError, importPrivateKey, isJsonObject, type JsonObject, parsePem, WorkloadKey } from 'aims/base'
import { createX509Authority, type X509Authority } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import { type Fields, pathField, readFields } from '../attestation/verifier-settings.ts'
import { readSecretFile } from '../secret-file.ts'

/** The CA above those of this server, and the way from it up to the root. */
export interface UpstreamCa {
  readonly authority: X509Authority
  /** DER: the upstream CA first, the root last. */
  readonly path: readonly Uint8Array[]
}

/** Where the CAs of this server get their certificates. Absent: they sign themselves. */
export interface Upstream {
  /** Reads it anew, so that files may be exchanged while the server runs. @throws {@link AimsError} */
  load(): Promise<UpstreamCa>
}

const FILE = {
  certificate: pathField('needed', 'PEM: the CA certificate, then those above it'),
  key: pathField('needed', 'PEM: the key of the CA, mode 0600'),
  bundle: pathField('needed unless the root is in certificate', 'PEM: the roots'),
} as const satisfies Fields

const MAX_FILE = 1 << 20

/**
 * The upstream authority that `keys.upstream` names: `file` with CA certificate and key on disk, in the layout of the `disk`
 * plugin of SPIRE.
 *
 * `load` rejects with `operation.upstream_unreadable`, `operation.key_file_mode`, and what `createX509Authority` throws.
 *
 * @throws {@link AimsError} `operation.config_invalid`
 */
export function configuredUpstream(setting: JsonObject, trustDomain: TrustDomain): Upstream | undefined {
  const [named, ...others] = Object.entries(setting)
  if (named === undefined) return undefined
  const [name, settings] = named
  if (others.length > 0 || name !== 'file' || !isJsonObject(settings)) throw invalid('it is file with its settings')
  const { certificate, key, bundle } = readSettings(settings)
  if (certificate === undefined || key === undefined) throw invalid('file needs certificate and key')
  return {
    async load() {
      const [chain, roots, secret] = await Promise.all([
        readCertificates(certificate),
        bundle === undefined ? [] : readCertificates(bundle),
        readSecretFile(key, { name: 'the key of the upstream CA', unreadable: 'operation.upstream_unreadable' }),
      ])
      return assemble(chain, roots, new WorkloadKey(importPrivateKey(secret.toString())), trustDomain)
    },
  }
}

function assemble(
  chain: readonly Uint8Array[],
  roots: readonly Uint8Array[],
  signer: WorkloadKey,
  trustDomain: TrustDomain,
): UpstreamCa {
  const [certificate, ...above] = chain
  if (certificate === undefined) throw unreadable('holds no certificate')
  const make = (extra: readonly Uint8Array[]): X509Authority =>
    createX509Authority({ trustDomain, signer, certificate, chain: [...above, ...extra] })
  const authority = make([])
  // What is left out of issued chains is the root: then nothing more is needed.
  if (authority.chain.length < chain.length) return { authority, path: chain }
  for (const root of roots) {
    const complete = attempt(() => make([root]))
    // The root of the bundle must be one: another intermediate would be sent in every chain.
    if (complete?.chain.length === chain.length) return { authority: complete, path: [...chain, root] }
  }
  throw unreadable('does not lead to a root: give the roots as bundle')
}

function attempt<T>(make: () => T): T | undefined {
  try {
    return make()
  } catch (error) {
    if (!AimsError.is(error)) throw error
    return undefined
  }
}

async function readCertificates(file: string): Promise<readonly Uint8Array[]> {
  const blocks = parsePem(await readText(file))
  if (blocks.some(({ label }) => label !== 'CERTIFICATE')) throw unreadable('is not PEM certificates')
  return blocks.map(({ bytes }) => bytes)
}

async function readText(file: string): Promise<string> {
  let handle: FileHandle | undefined
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
      throw unreadable('cannot be opened', cause)
    })
    const stat = await handle.stat()
    if (!stat.isFile() || stat.size > MAX_FILE) throw unreadable('is no file of a usable size')
    return await handle.readFile('utf8')
  } finally {
    await handle?.close()
  }
}

function readSettings(settings: JsonObject): ReturnType<typeof readFields<typeof FILE>> {
  try {
    return readFields(settings, FILE)
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : 'not usable')
  }
}

function invalid(reason: string): AimsError {
  return new AimsError('operation.config_invalid', `"keys.upstream": ${reason}`)
}

function unreadable(reason: string, cause?: unknown): AimsError {
  return new AimsError('operation.upstream_unreadable', `a file of keys.upstream ${reason}`, { cause })
}
