import { randomUUID } from 'node:crypto'
import { closeSync, openSync, readFileSync, readSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { AimsError, type Clock, type Observer } from 'aims/base'
import { BACKUP_FILES, MANIFEST } from '../backup/manifest.ts'
import { takeSnapshot } from '../backup/snapshot.ts'
import type { Configuration } from '../config/settings.ts'
import type { Route } from '../http/route.ts'
import type { Storage } from '../storage.ts'
import { actorOf } from './read.ts'

/** Bytes in one answer. */
const CHUNK = 1024 * 1024
/** Seconds after which a backup that nobody reads may give way to another. */
const IDLE = 60

interface UnderWay {
  readonly id: string
  usedAt: number
}

/** Copies of store and log while the server runs: made here, read in pieces, and removed. One at a time. */
export function backupRoutes({
  config,
  storage,
  clock,
  observer,
}: {
  readonly config: Configuration
  readonly storage: Pick<Storage, 'wrapping'>
  readonly clock: Clock
  readonly observer: Observer
}): readonly Route[] {
  const place = join(config.dataDirectory, 'backup-under-way')
  const clear = (): void => rmSync(place, { recursive: true, force: true })
  // What a server that was killed left behind.
  clear()
  let current: UnderWay | undefined
  const using = (id: string | undefined): UnderWay => {
    if (current === undefined || current.id !== id) throw new AimsError('operation.backup_unknown', 'no such backup')
    current.usedAt = clock()
    return current
  }
  const admin = { access: 'admin', entrances: ['unix', 'https'] } as const
  return [
    {
      ...admin,
      method: 'POST',
      path: '/v1/backups',
      summary: 'Copies store and log as they are now. The key-encryption key is not in the copy.',
      handle: async (call) => {
        if (current !== undefined && clock() - current.usedAt < IDLE) {
          throw new AimsError('operation.busy', 'another backup is under way')
        }
        clear()
        const mine: UnderWay = { id: randomUUID(), usedAt: Number.POSITIVE_INFINITY }
        current = mine
        try {
          const { name, method, correlationId } = actorOf(call)
          await observer.record({
            type: 'operation.backup-created',
            agent: { id: name, method },
            resource: { type: 'backup', id: mine.id },
            action: 'backup',
            decision: 'allow',
            correlationId,
          })
          const directory = join(place, mine.id)
          await takeSnapshot(directory, { id: mine.id, config, wrapping: storage.wrapping, clock })
          mine.usedAt = clock()
          return { status: 201, body: { id: mine.id, manifest: readFileSync(join(directory, MANIFEST), 'utf8') } }
        } catch (error) {
          current = undefined
          clear()
          throw error
        }
      },
    },
    {
      ...admin,
      method: 'GET',
      path: '/v1/backups/{id}/{file}',
      summary: `Gives up to ${CHUNK} bytes of a file of a backup, from a place on. No bytes: the file ends there.`,
      query: { from: 'the first byte; 0 unless told' },
      handle: ({ params, query }) => {
        const { id } = using(params.id)
        const file = BACKUP_FILES.find((one) => one === params.file)
        if (file === undefined) throw new AimsError('operation.backup_unknown', 'a backup has no such file')
        if (!/^\d{1,15}$/.test(query.from ?? '0'))
          throw new AimsError('operation.request_malformed', 'from is a number')
        const bytes = Buffer.alloc(CHUNK)
        const fd = openSync(join(place, id, file), 'r')
        try {
          const length = readSync(fd, bytes, 0, CHUNK, Number(query.from ?? 0))
          return { status: 200, body: { bytes: bytes.toString('base64', 0, length) } }
        } finally {
          closeSync(fd)
        }
      },
    },
    {
      ...admin,
      method: 'DELETE',
      path: '/v1/backups/{id}',
      summary: 'Ends a backup: its copy is removed from the server.',
      handle: ({ params }) => {
        using(params.id)
        clear()
        current = undefined
        return { status: 204 }
      },
    },
  ]
}
