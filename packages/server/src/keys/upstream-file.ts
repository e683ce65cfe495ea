import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { AimsError, importPrivateKey, type JsonObject, parsePem, WorkloadKey } from 'aims/base'
import { issueCaCertificate } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import { type Fields, pathField, readFields } from '../attestation/verifier-settings.ts'
import { readSecretFile } from '../secret-file.ts'
import { type CaPath, completePath } from './ca-path.ts'
import type { Upstream, UpstreamCa } from './upstream.ts'

const FILE = {
  certificate: pathField('needed', 'PEM: the CA certificate, then those above it'),
  key: pathField('needed', 'PEM: the key of the CA, mode 0600'),
  bundle: pathField('needed unless the root is in certificate', 'PEM: the roots'),
} as const satisfies Fields

const MAX_FILE = 1 << 20

/**
 * A CA with certificate and key on disk, in the layout of the `disk` plugin of SPIRE. It is read anew for each CA, so that files may be
 * exchanged while the server runs.
 *
 * `load` rejects with `operation.upstream_unreadable`, `operation.key_file_mode`, and what `createX509Authority` throws.
 *
 * @throws {@link Error} with the reason, for settings that are none
 */
export function fileUpstream(settings: JsonObject, trustDomain: TrustDomain): Upstream {
  const { certificate, key, bundle } = readFields(settings, FILE)
  if (certificate === undefined || key === undefined) throw new Error('file needs certificate and key')
  return {
    async load() {
      const [chain, roots, secret] = await Promise.all([
        readCertificates(certificate),
        bundle === undefined ? [] : readCertificates(bundle),
        readSecretFile(key, { name: 'the key of the upstream CA', unreadable: 'operation.upstream_unreadable' }),
      ])
      const path = completePath(chain, roots, new WorkloadKey(importPrivateKey(secret.toString())), trustDomain)
      if (path === undefined) throw unreadable('does not lead to a root: give the roots as bundle')
      return certifiedBy(path)
    },
  }
}

function certifiedBy({ authority: issuer, path }: CaPath): UpstreamCa {
  return {
    async certify({ key, trustDomain, notBefore, notAfter, pathLength }) {
      const expiresAt = Math.min(notAfter, issuer.expiresAt)
      const request = { trustDomain, issuer, subjectKey: key.publicKey, notBefore, notAfter: expiresAt, pathLength }
      // Who ends before it begins is refused by the caller, who says why.
      if (expiresAt <= notBefore) return { certificate: issuer.certificate.raw, chain: path, expiresAt }
      return { certificate: await issueCaCertificate(request), chain: path, expiresAt }
    },
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

function unreadable(reason: string, cause?: unknown): AimsError {
  return new AimsError('operation.upstream_unreadable', `a file of keys.upstream ${reason}`, { cause })
}
