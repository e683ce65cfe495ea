import { randomBytes } from 'node:crypto'
import { sha256Base64url } from '../../base/bytes.ts'
import type { Clock } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import type { AuditEvent, Observer } from '../../base/event.ts'
import { canonicalJson } from '../../base/jcs.ts'
import type { JsonObject } from '../../base/json.ts'
import type { KeyToCertify } from '../../base/key-to-certify.ts'
import { importKeyToCertify, type Signer } from '../../base/keys.ts'
import { areWithin, parseRights, type Right } from '../../credentials/delegation/rights.ts'
import { issueWit } from '../../credentials/wit/issue.ts'
import type { VerifiedWit } from '../../credentials/wit/wit.ts'
import type { SpiffeId } from '../../identifiers/spiffe-id.ts'
import { ancestorsOf, joinSubAgentId } from '../../identifiers/sub-agent-id.ts'
import type { RegistrationEntry } from '../entry.ts'
import { isSubAgentOf } from './below.ts'
import type { SubAgentLimits } from './limits.ts'

/** The attested agent that asks, by the credential it has just proved itself with. */
export interface SubAgentRoot {
  readonly id: SpiffeId
  /** Seconds since the epoch. */
  readonly expiresAt: number
  readonly credential: { readonly type: string; readonly id: string }
}

/** One sub-agent that is wanted. Only the public half of its key ever comes here. */
export interface SubAgentOrder {
  /** Of the last path segment. Default: one that is made up. */
  readonly name?: string
  /** Public JWK. */
  readonly publicKey: JsonObject
  /** Seconds. Default: as long as the entry allows. */
  readonly ttl?: number
  /** All it may do; each as a `Right` is written. */
  readonly rights: readonly string[]
}

/** Sub-agents that are wanted together. */
export interface MintRequest {
  readonly root: SubAgentRoot
  /** The verified WIT of the sub-agent below which the new ones come. Absent: below the root itself. */
  readonly parent?: VerifiedWit
  readonly orders: readonly SubAgentOrder[]
  readonly correlationId: string
}

/** A sub-agent as it was made. */
export interface MintedSubAgent {
  readonly spiffeId: SpiffeId
  readonly token: string
  /** `jti`. */
  readonly id: string
  /** Seconds since the epoch. */
  readonly expiresAt: number
}

/** What a register remembers of a batch. */
export interface SubAgentBatch {
  readonly id: string
  readonly root: SpiffeId
  /** How many sub-agents of this root may live at a time. */
  readonly max: number
  /** Seconds since the epoch. */
  readonly now: number
  readonly subAgents: readonly {
    readonly spiffeId: SpiffeId
    readonly keyThumbprint: string
    readonly expiresAt: number
  }[]
}

/** Remembers which sub-agents live. */
export interface SubAgentRegister {
  /**
   * Remembers all of a batch, or none of it.
   *
   * @throws {@link AimsError} `provisioning.too_many_sub_agents`, `provisioning.subject_taken`, `credential.key_reuse`
   */
  register(batch: SubAgentBatch): void
}

/** What minting works with. */
export interface SubAgentMintOptions {
  /** The WIT authority that signs now. */
  signer(): Signer
  findEntry(subject: SpiffeId): RegistrationEntry | undefined
  /** Whether an entry that is gone had this SPIFFE ID. */
  isRetired(subject: SpiffeId): boolean
  readonly register: SubAgentRegister
  readonly clock: Clock
  readonly observer: Observer
  /** From when on credentials of a subject count, in seconds since the epoch. */
  notBefore(subject: SpiffeId): number | undefined
}

/** Makes sub-agents for attested agents. */
export interface SubAgentMint {
  /**
   * Mints one WIT per order, all or none, and records them once before it returns them.
   *
   * @throws {@link AimsError} `provisioning.sub_agents_not_allowed`, `.sub_agents_too_deep`, `.too_many_sub_agents`,
   *   `.subject_taken`, `.subject_retired`, `.rights_exceeded`, `.ttl_out_of_range`, `.parent_expired`; `credential.invalid_rights`,
   *   `credential.key_reuse`, `identifier.*`, `key.*`, and what the observer throws
   */
  mint(request: MintRequest): Promise<readonly MintedSubAgent[]>
}

/** Sub-agents of one request: so many that signing does not hold others up for long. */
export const MAX_BATCH = 256

/**
 * Makes the mint. A sub-agent is below its parent's own path, has no more rights than its parent, and ends no later than
 * the credentials of all above it. Its entry says how many and how deep; an entry that says nothing allows none.
 *
 * Does not authenticate: whoever calls it has verified the root's credential and that of `parent`, and that neither is
 * revoked, and has not waited for anything since. A revocation that comes while tokens are signed ends them too.
 *
 * @see AIMS ID-1, CR-3, PR-5; users' demand for identities of sub-agents
 */
export function createSubAgentMint(options: SubAgentMintOptions): SubAgentMint {
  const { clock, observer, register } = options
  const prepareAll = (request: MintRequest, now: number): Prepared => {
    const { root, parent, orders } = request
    const limits = requireLimits(root.id, parent, options.findEntry)
    if (orders.length === 0 || orders.length > MAX_BATCH) throw new TypeError(`1 to ${MAX_BATCH} orders`)
    const bounds = boundsOf(root, parent, limits, now)
    const batch = randomBytes(9).toString('hex')
    const subAgents = orders.map((order, index) => prepare(order, `${batch}-${index}`, bounds, options.notBefore))
    if (subAgents.some(({ spiffeId }) => options.findEntry(spiffeId) !== undefined)) {
      throw new AimsError('provisioning.subject_taken', 'an entry has this SPIFFE ID')
    }
    // Names that are made up nobody has had.
    if (subAgents.some(({ spiffeId }, index) => orders[index]?.name !== undefined && options.isRetired(spiffeId))) {
      throw new AimsError('provisioning.subject_retired', 'a deleted entry had this SPIFFE ID')
    }
    return { batch, limits, subAgents }
  }

  return {
    async mint(request) {
      const now = clock()
      let minted: readonly MintedSubAgent[]
      let event: AuditEvent
      try {
        const { batch, limits, subAgents } = prepareAll(request, now)
        register.register({ id: batch, root: request.root.id, max: limits.max, now, subAgents })
        minted = await signAll(subAgents, options)
        event = mintedEvent(request, batch, subAgents, minted)
      } catch (error) {
        if (AimsError.is(error)) await observer.record(refusedEvent(request, error))
        throw error
      }
      await observer.record(event)
      return minted
    },
  }
}

interface PreparedSubAgent {
  readonly spiffeId: SpiffeId
  readonly parent: SpiffeId
  readonly key: KeyToCertify
  readonly keyThumbprint: string
  readonly issuedAt: number
  readonly expiresAt: number
  readonly id: string
  readonly rights: readonly string[]
}

interface Prepared {
  readonly batch: string
  readonly limits: SubAgentLimits
  readonly subAgents: readonly PreparedSubAgent[]
}

/** What the sub-agents of one request may be at most. */
interface Bounds {
  readonly parent: SpiffeId
  readonly now: number
  readonly end: number
  readonly maxTtl: number
  readonly rights: readonly (readonly Right[])[]
}

function requireLimits(
  root: SpiffeId,
  parent: VerifiedWit | undefined,
  findEntry: SubAgentMintOptions['findEntry'],
): SubAgentLimits {
  const entry = findEntry(root)
  const limits = entry?.subAgents
  if (entry === undefined || limits === undefined || !entry.credentialTypes.includes('wit')) {
    throw new AimsError('provisioning.sub_agents_not_allowed', 'the entry of the agent allows no sub-agents')
  }
  if (parent === undefined) return limits
  // The parent was verified as a SPIFFE ID.
  const isOwn = isSubAgentOf(parent.subject as SpiffeId, root, (id) => findEntry(id) !== undefined)
  if (parent.delegation === undefined || !isOwn) {
    throw new AimsError('provisioning.sub_agents_not_allowed', 'the parent is no sub-agent of the agent that asks')
  }
  const depth = ancestorsOf(parent.subject).length - ancestorsOf(root).length
  if (depth >= limits.maxDepth) {
    throw new AimsError('provisioning.sub_agents_too_deep', `sub-agents are at most ${limits.maxDepth} deep here`)
  }
  return limits
}

function boundsOf(root: SubAgentRoot, parent: VerifiedWit | undefined, limits: SubAgentLimits, now: number): Bounds {
  const end = Math.floor(Math.min(root.expiresAt, parent?.expiresAt ?? Number.POSITIVE_INFINITY))
  if (!(end - Math.floor(now) >= 1)) {
    throw new AimsError('provisioning.parent_expired', 'the credential of the parent ends now')
  }
  const rights = [parent?.delegation?.rights, limits.rights].flatMap((texts) =>
    texts === undefined ? [] : [parseRights(texts)],
  )
  // The parent was verified as a SPIFFE ID below the root.
  return { parent: (parent?.subject ?? root.id) as SpiffeId, now, end, maxTtl: limits.maxTtl, rights }
}

function prepare(
  order: SubAgentOrder,
  madeUp: string,
  bounds: Bounds,
  notBefore: SubAgentMintOptions['notBefore'],
): PreparedSubAgent {
  const { ttl = bounds.maxTtl, rights, name = madeUp } = order
  if (!(ttl <= bounds.maxTtl)) {
    throw new AimsError('provisioning.ttl_out_of_range', `a sub-agent lives at most ${bounds.maxTtl} s here`)
  }
  const wanted = parseRights(rights)
  if (!bounds.rights.every((given) => areWithin(wanted, given))) {
    throw new AimsError('provisioning.rights_exceeded', 'a sub-agent has no rights beyond those of its parent')
  }
  const key = importKeyToCertify(order.publicKey)
  const spiffeId = joinSubAgentId(bounds.parent, name)
  // Asked before anything is waited for: later it might be that of a revocation which these are to fall under.
  const issuedAt = Math.max(Math.floor(bounds.now), notBefore(spiffeId) ?? 0)
  const expiresAt = Math.min(Math.floor(bounds.now) + ttl, bounds.end)
  if (expiresAt <= issuedAt) throw new AimsError('provisioning.parent_expired', 'the credential of the parent ends now')
  return {
    spiffeId,
    parent: bounds.parent,
    key,
    keyThumbprint: key.thumbprint,
    issuedAt,
    expiresAt,
    // Names the record of the batch, too.
    id: madeUp,
    rights,
  }
}

async function signAll(
  subAgents: readonly PreparedSubAgent[],
  { signer }: SubAgentMintOptions,
): Promise<readonly MintedSubAgent[]> {
  const minted: MintedSubAgent[] = []
  for (const { spiffeId, parent, key, issuedAt, expiresAt, id, rights } of subAgents) {
    const { token } = await issueWit(
      {
        subject: spiffeId,
        publicKey: key,
        confirmationAlg: key.alg,
        now: issuedAt,
        ttl: expiresAt - issuedAt,
        id,
        delegation: { parent, rights },
      },
      signer(),
    )
    minted.push({ spiffeId, token, id, expiresAt })
  }
  return minted
}

/** Names shown in one record: it has a bound, and all of them are under `contentHash`. */
const MAX_NAMES = 900

function mintedEvent(
  { root, parent, correlationId }: MintRequest,
  batch: string,
  subAgents: readonly PreparedSubAgent[],
  minted: readonly MintedSubAgent[],
): AuditEvent {
  const list = subAgents.map(({ spiffeId, id, keyThumbprint, expiresAt, rights }) => {
    return { spiffeId, id, keyThumbprint, expiresAt, rights }
  })
  const names = subAgents.map(({ spiffeId }) => spiffeId.slice(spiffeId.lastIndexOf('/') + 1)).join(' ')
  return {
    type: 'provisioning.sub-agents-issued',
    agent: { id: root.id, credential: root.credential, method: 'mtls' },
    resource: { type: 'sub-agents', id: parent?.subject ?? root.id },
    action: 'spawn',
    decision: 'allow',
    correlationId,
    details: {
      batch,
      count: minted.length,
      lastExpiresAt: Math.max(...minted.map(({ expiresAt }) => expiresAt)),
      names: names.length > MAX_NAMES ? `${names.slice(0, MAX_NAMES)}...` : names,
      contentHash: sha256Base64url(canonicalJson(list)),
    },
  }
}

function refusedEvent({ root, parent, orders, correlationId }: MintRequest, { code }: AimsError): AuditEvent {
  return {
    type: 'provisioning.refused',
    agent: { id: root.id, credential: root.credential, method: 'mtls' },
    resource: { type: 'sub-agents', id: parent?.subject ?? root.id },
    action: 'spawn',
    decision: 'deny',
    reasons: [code],
    correlationId,
    details: { count: orders.length },
  }
}
