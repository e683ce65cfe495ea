import { randomUUID } from 'node:crypto'
import type { StoredKey } from '../store/key-store.ts'
import { UPSTREAM } from '../store/neighbours.ts'
import type { Authorities, AuthoritiesOptions } from './authority-types.ts'
import type { TokenKey } from './upstream.ts'

/** Tells the server above which keys sign tokens here, and hears from it which others do elsewhere. */
export interface Publication {
  /** Publishes these keys. Without a server above nothing is done. @throws {@link AimsError} `operation.upstream_*` */
  publish(keys: readonly StoredKey[]): Promise<void>
  /** The same when they are others than the last time, or the last time is longer ago than the refresh hint. */
  keepUp(keys: readonly StoredKey[]): Promise<void>
}

/** Makes it. What the server above says is kept with {@link Authorities.exchange}. */
export function createPublication(
  { upstream, neighbours, clock, refreshHint }: AuthoritiesOptions,
  exchange: Authorities['exchange'],
): Publication {
  let known = ''
  let nextAt = 0
  const publish: Publication['publish'] = async (keys) => {
    if (upstream?.publish === undefined || neighbours === undefined) return
    const document = await upstream.publish(tokenKeysOf(keys))
    known = namesOf(keys)
    nextAt = clock() + refreshHint
    if (neighbours.find(UPSTREAM)?.document === document) return
    await exchange((store) => store.put(UPSTREAM, document, clock()), {
      type: 'provisioning.bundle-changed',
      resource: { type: 'trust-bundle', id: UPSTREAM },
      action: 'refresh',
      decision: 'allow',
      correlationId: randomUUID(),
    })
  }
  return {
    publish,
    async keepUp(keys) {
      if (namesOf(keys) !== known || clock() >= nextAt) await publish(keys)
    },
  }
}

function tokenKeysOf(keys: readonly StoredKey[]): readonly TokenKey[] {
  return keys.flatMap(({ purpose, key }) => (purpose === 'jwt' || purpose === 'wit' ? [{ purpose, key }] : []))
}

function namesOf(keys: readonly StoredKey[]): string {
  return tokenKeysOf(keys)
    .map(({ key }) => key.kid)
    .toSorted()
    .join(' ')
}
