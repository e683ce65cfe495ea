import { randomUUID } from 'node:crypto'
import { type AuditEvent, verificationKey } from 'aims/base'
import { emptyBundle, parseBundle, serializeBundle, type TrustBundle } from 'aims/credentials'
import type { StoredKey } from '../store/key-store.ts'
import { PUBLISHED, UPSTREAM } from '../store/neighbours.ts'
import type { Authorities, AuthoritiesOptions } from './authority-types.ts'
import type { TokenKey } from './upstream.ts'

/** Tells the server above which keys sign tokens here, and hears from it which others do elsewhere. */
export interface Publication {
  /** Publishes these keys. Without a server above nothing is done. @throws {@link AimsError} `operation.upstream_*` */
  publish(keys: readonly StoredKey[]): Promise<void>
  /**
   * The same when they are others than the last time, or the last time is longer ago than the refresh hint. When there is no server above any
   * more, what it said is forgotten with the last CA that it certified.
   */
  keepUp(keys: readonly StoredKey[]): Promise<void>
  /** Whether this CA is below a root that the server above has tainted, as far as was heard since the start. */
  isTainted(ca: StoredKey): boolean
}

// Retired keys stay a little longer than what they signed.
const SKEW = 60

/** Makes it. What the server above says is kept with {@link Authorities.exchange}. */
export function createPublication(
  { trustDomain, upstream, neighbours, clock, refreshHint, maxTtl }: AuthoritiesOptions,
  exchange: Authorities['exchange'],
): Publication {
  let known = ''
  let nextAt = 0
  let tainted: readonly Uint8Array[] = []
  const tokenKeysOf = (keys: readonly StoredKey[]): readonly TokenKey[] =>
    keys.flatMap(({ purpose, key, expiresAt }) => {
      if (purpose !== 'jwt' && purpose !== 'wit') return []
      return [{ purpose, key, until: Math.ceil(expiresAt + maxTtl[purpose]) + SKEW }]
    })
  const namesOf = (keys: readonly StoredKey[]): string =>
    tokenKeysOf(keys)
      .map(({ key }) => key.kid)
      .toSorted()
      .join(' ')
  const keep = async (id: string, document: string, action: 'publish' | 'refresh'): Promise<void> => {
    if (neighbours?.find(id)?.document === document) return
    await exchange((store) => store.put(id, document, clock()), changed(action))
  }
  const forget = async (): Promise<void> => {
    for (const id of [UPSTREAM, PUBLISHED]) {
      if (neighbours?.find(id) !== undefined) await exchange((store) => store.remove(id), changed('withdraw'))
    }
  }
  const publishedBefore = (): TrustBundle => neighbours?.find(PUBLISHED)?.bundle ?? emptyBundle(trustDomain)

  const publish: Publication['publish'] = async (keys) => {
    if (upstream?.publish === undefined || neighbours === undefined) return
    const own = tokenKeysOf(keys)
    const remembers = upstream.isAppendOnly === true
    // Before they are above: what is withdrawn here is not taken for another server's when it comes back from there.
    if (remembers) await keep(PUBLISHED, documentOf(withKeys(publishedBefore(), own)), 'publish')
    const heard = await upstream.publish(own)
    tainted = heard.tainted
    const above = parseBundle(heard.bundle, trustDomain).bundle
    if (remembers) {
      const isThere = (kid: string): boolean =>
        above.jwtAuthorities.has(kid) || above.witAuthorities.has(kid) || own.some(({ key }) => key.kid === kid)
      await keep(PUBLISHED, documentOf(onlyKeys(publishedBefore(), isThere)), 'publish')
    }
    known = namesOf(keys)
    nextAt = clock() + refreshHint
    // Which of them sign here is decided here.
    const ours = new Set([...own.map(({ key }) => key.kid), ...kidsOf(publishedBefore())])
    await keep(UPSTREAM, documentOf(onlyKeys(above, (kid) => !ours.has(kid))), 'refresh')
  }
  return {
    publish,
    async keepUp(keys) {
      if (upstream === undefined && !keys.some(({ chain = [] }) => chain.length > 0)) await forget()
      if (namesOf(keys) !== known || clock() >= nextAt) await publish(keys)
    },
    isTainted({ chain = [] }) {
      const root = Buffer.from(chain.at(-1) ?? [])
      return tainted.some((one) => root.equals(one))
    },
  }
}

function changed(action: 'publish' | 'refresh' | 'withdraw'): AuditEvent {
  return {
    type: 'provisioning.bundle-changed',
    resource: { type: 'trust-bundle', id: UPSTREAM },
    action,
    decision: 'allow',
    correlationId: randomUUID(),
  }
}

function documentOf(bundle: TrustBundle): string {
  return serializeBundle(bundle, { includeWit: true })
}

function kidsOf({ jwtAuthorities, witAuthorities }: TrustBundle): readonly string[] {
  return [...jwtAuthorities.keys(), ...witAuthorities.keys()]
}

function onlyKeys(bundle: TrustBundle, isWanted: (kid: string) => boolean): TrustBundle {
  const wanted = (keys: TrustBundle['jwtAuthorities']) => new Map([...keys].filter(([kid]) => isWanted(kid)))
  return {
    ...bundle,
    jwtAuthorities: wanted(bundle.jwtAuthorities),
    witAuthorities: wanted(bundle.witAuthorities),
  }
}

function withKeys(bundle: TrustBundle, keys: readonly TokenKey[]): TrustBundle {
  const also = (purpose: 'jwt' | 'wit', before: TrustBundle['jwtAuthorities']) => {
    const added = keys
      .filter((one) => one.purpose === purpose)
      .map(({ key: { kid, publicKey, alg } }) => [kid, verificationKey(publicKey, { alg, kid })] as const)
    return new Map([...before, ...added])
  }
  return {
    ...bundle,
    jwtAuthorities: also('jwt', bundle.jwtAuthorities),
    witAuthorities: also('wit', bundle.witAuthorities),
  }
}
