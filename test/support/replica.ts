// One of several verifiers that share a replay store: a process of its own. Judges the proofs in the files it is told.
import { readFileSync } from 'node:fs'
import {
  createAuthenticator,
  openPostgresReplayStore,
  openRedisReplayStore,
  openSqliteReplayStore,
  type ReplayStore,
} from 'aims/authentication'
import { AimsError, noObserver } from 'aims/base'
import { bundleSource, parseBundle } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { AUDIENCE } from './identities.ts'

/** Which store the replicas share. */
export interface SharedStore {
  readonly kind: 'sqlite' | 'postgres' | 'redis'
  readonly path?: string
  readonly port?: number
  /** Base64url. */
  readonly secret?: string
  /** Milliseconds. */
  readonly patience: number
}

/** What a replica is told to do. */
export interface Task {
  /** A file of lines: an `Authorization` field each. */
  readonly proofs: string
  readonly wit: string
}

/** What it found. */
export interface Verdicts {
  /** Positions in the file. */
  readonly accepted: readonly number[]
  /** By code. */
  readonly refused: { readonly [code: string]: number }
}

// An answer that takes many seconds looks like a clock of the store that has jumped, and is refused.
const AT_ONCE = 100
const [store = '{}', bundle = ''] = process.argv.slice(2)
const authenticator = createAuthenticator({
  bundles: bundleSource(parseBundle(bundle, parseTrustDomain('example.com')).bundle),
  audiences: [AUDIENCE],
  replays: await openStore(JSON.parse(store)),
  observer: noObserver,
})
process.on('message', async (task: Task) => process.send?.(await judge(task)))
process.send?.('ready')

async function openStore({ kind, path = '', port = 0, secret = '', patience }: SharedStore): Promise<ReplayStore> {
  if (kind === 'sqlite') return openSqliteReplayStore(path, { busyTimeout: patience })
  const shared = { secret: Buffer.from(secret, 'base64url'), timeout: patience }
  const connection = { host: '127.0.0.1', port }
  return kind === 'redis'
    ? openRedisReplayStore({ ...shared, connection, acceptEmpty: true })
    : openPostgresReplayStore({ ...shared, connection: { ...connection, user: 'aims', database: 'postgres' } })
}

async function judge({ proofs, wit }: Task): Promise<Verdicts> {
  const accepted: number[] = []
  const refused: { [code: string]: number } = {}
  const fields = readFileSync(proofs, 'utf8').split('\n')
  const one = async (field: string, index: number): Promise<void> => {
    const headers = [['authorization', field] as const, ['workload-identity-token', wit] as const]
    try {
      await authenticator.authenticate({ method: 'GET', target: '/', headers })
      accepted.push(index)
    } catch (error) {
      const code = AimsError.is(error) ? error.code : String(error)
      refused[code] = (refused[code] ?? 0) + 1
    }
  }
  for (let from = 0; from < fields.length; from += AT_ONCE) {
    await Promise.all(fields.slice(from, from + AT_ONCE).map((field, i) => one(field, from + i)))
  }
  return { accepted, refused }
}
