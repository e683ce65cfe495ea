import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import {
  AimsError,
  createDirectory,
  decodeBase64,
  importPrivateKey,
  type JsonObject,
  parseJsonObject,
  WorkloadKey,
} from 'aims/base'
import { holdX509Svid } from 'aims/credentials'
import type { AgentIdentity } from 'aims/provisioning'

/** What an agent keeps over a restart: who it is, with its key, and the newest bundle. */
export interface IdentityFile {
  /** @throws {@link AimsError} `operation.data_directory_open`, `operation.agent_identity_damaged` */
  read(): { readonly identity: AgentIdentity | undefined; readonly bundle: string | undefined }
  /** Keeps an identity; `undefined`: forgets it. On disk, whole, when it returns. */
  keep(identity: AgentIdentity | undefined): void
  keepBundle(bundle: string): void
}

const IDENTITY = 'agent.json'
const BUNDLE = 'bundle.json'

/** Nothing is kept: keys live in memory alone. */
export const NO_FILE: IdentityFile = {
  read: () => ({ identity: undefined, bundle: undefined }),
  keep: () => undefined,
  keepBundle: () => undefined,
}

/**
 * Opens the data directory of an agent, and makes it with mode 0700. Files have mode 0600.
 *
 * @throws {@link AimsError} `operation.data_directory_open`, `operation.data_directory_unwritable`
 */
export function openIdentityFile(directory: string): IdentityFile {
  try {
    createDirectory(directory, 0o700)
  } catch (cause) {
    throw new AimsError('operation.data_directory_unwritable', `${directory}: cannot be made`, { cause })
  }
  requirePrivate(directory)
  const path = (name: string): string => join(directory, name)
  return {
    read() {
      const bundle = existsSync(path(BUNDLE)) ? readFileSync(path(BUNDLE), 'utf8') : undefined
      if (!existsSync(path(IDENTITY))) return { identity: undefined, bundle }
      requirePrivate(path(IDENTITY))
      return { identity: parseIdentity(readFileSync(path(IDENTITY)), path(IDENTITY)), bundle }
    },
    keep(identity) {
      if (identity === undefined) rmSync(path(IDENTITY), { force: true })
      else replace(path(IDENTITY), JSON.stringify(identityToJson(identity)))
    },
    keepBundle: (bundle) => replace(path(BUNDLE), bundle),
  }
}

function requirePrivate(path: string): void {
  const { mode, uid } = statSync(path)
  if ((mode & 0o077) !== 0 || uid !== process.geteuid?.()) {
    throw new AimsError('operation.data_directory_open', `${path}: belongs to another user, or is open to others`)
  }
}

// A new file beside it, whole on disk, then its name: a kill at any moment leaves the old one or the new one.
function replace(path: string, content: string): void {
  const fresh = `${path}.new`
  rmSync(fresh, { force: true })
  const file = openSync(fresh, 'wx', 0o600)
  try {
    writeSync(file, content)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(fresh, path)
}

function identityToJson({ svid, mayReattest }: AgentIdentity): JsonObject {
  return {
    mayReattest,
    chain: svid.certificates.map((der) => Buffer.from(der).toString('base64')),
    key: svid.key.tlsKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

function parseIdentity(content: Uint8Array, path: string): AgentIdentity {
  try {
    const { mayReattest, chain, key } = parseJsonObject(content)
    if (!Array.isArray(chain) || typeof key !== 'string') throw new AimsError('json.malformed', 'members are missing')
    const certificates = chain.map((one) => decodeBase64(String(one)) ?? new Uint8Array())
    const svid = holdX509Svid({ certificates, key: new WorkloadKey(importPrivateKey(key)) })
    return { svid, mayReattest: mayReattest === true }
  } catch (cause) {
    throw new AimsError('operation.agent_identity_damaged', `${path}: cannot be used`, { cause })
  }
}
