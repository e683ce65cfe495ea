import { randomUUID } from 'node:crypto'
import { AimsError, type AuditEvent, type AuditEventType, WorkloadKey } from 'aims/base'
import { issueCaCertificate } from 'aims/credentials'
import type { Actor } from '../entries.ts'
import type { AuthorityKey, StoredKey } from '../store/key-store.ts'
import type { AuthoritiesOptions, AuthorityPurpose } from './authority-types.ts'
import { generateManaged, within } from './managers/key-manager.ts'
import { tryAuthority } from './trial.ts'
import type { UpstreamCa } from './upstream.ts'

// Certificates begin a little in the past, for clocks that are behind; retired keys stay a little longer.
const SKEW = 60

type Action = 'create' | 'prepare' | 'activate' | 'taint' | 'revoke' | 'drop'

/** One step of a key's life: what the log says, and the keys as they are afterwards. */
export interface Step {
  readonly action: Action
  readonly subject: StoredKey
  readonly changed: readonly StoredKey[]
  /** The key signs before verifiers can know it, because an operator said so. */
  readonly forced?: boolean
}

/** How each step is recorded, and what it does to the bundle and to the stored keys. */
export const ACTIONS: {
  readonly [action in Action]: {
    readonly type: AuditEventType
    readonly changesBundle: boolean
    readonly removes: boolean
  }
} = {
  create: { type: 'provisioning.key-rotated', changesBundle: true, removes: false },
  prepare: { type: 'provisioning.bundle-changed', changesBundle: true, removes: false },
  activate: { type: 'provisioning.key-rotated', changesBundle: false, removes: false },
  taint: { type: 'provisioning.key-tainted', changesBundle: false, removes: false },
  revoke: { type: 'provisioning.key-revoked', changesBundle: true, removes: true },
  drop: { type: 'provisioning.bundle-changed', changesBundle: true, removes: true },
}

/** What an operator may ask for. */
export type Command =
  | { readonly action: 'prepare' }
  | { readonly action: 'activate'; readonly force: boolean }
  | { readonly action: 'taint' | 'revoke'; readonly id: string }

/**
 * The step that an operator asks for, if it is in order.
 *
 * @throws {@link AimsError} `provisioning.authority_*`
 */
export async function commandedStep(
  command: Command,
  own: readonly StoredKey[],
  purpose: AuthorityPurpose,
  options: AuthoritiesOptions,
): Promise<Step> {
  const now = options.clock()
  const prepared = own.find(({ state }) => state === 'prepared')
  const active = own.find(({ state }) => state === 'active')
  switch (command.action) {
    case 'prepare': {
      if (prepared !== undefined) {
        throw new AimsError('provisioning.authority_prepared', 'a successor is prepared: activate or revoke it first')
      }
      const subject = await createKey(purpose, 'prepared', now, takeoverTime(active, now, options), options)
      return { action: 'prepare', subject, changed: [subject] }
    }
    case 'activate': {
      if (prepared === undefined)
        throw new AimsError('provisioning.authority_not_found', 'no authority is prepared: prepare one first')
      const left = Math.ceil(prepared.createdAt + options.publishAhead - now)
      const forced = left > 0
      if (forced && !command.force) {
        const message = `keys.publishAhead is over in ${left} s: activate then, or force it`
        throw new AimsError('provisioning.authority_unpublished', message)
      }
      return { ...activation(prepared, active, now, options), forced }
    }
    case 'taint': {
      const subject = requireNotActive(own, command.id)
      if (subject.state !== 'retired') throw wrongState('only a retired authority is tainted')
      const tainted: StoredKey = { ...subject, state: 'tainted' }
      return { action: 'taint', subject: tainted, changed: [tainted] }
    }
    case 'revoke': {
      const subject = requireNotActive(own, command.id)
      if (subject.state === 'retired') throw wrongState('credentials of this authority are in use: taint it first')
      return { action: 'revoke', subject, changed: [subject] }
    }
  }
}

function requireNotActive(own: readonly StoredKey[], id: string): StoredKey {
  const found = own.find((key) => key.id === id)
  if (found === undefined) throw new AimsError('provisioning.authority_not_found', 'no authority has this id')
  if (found.state === 'active') {
    throw new AimsError('provisioning.authority_active', 'this authority signs now: activate a successor first')
  }
  return found
}

function wrongState(message: string): AimsError {
  return new AimsError('provisioning.authority_state', message)
}

/** What is due for the keys of one purpose, if anything. */
export async function nextStep(
  own: readonly StoredKey[],
  purpose: AuthorityPurpose,
  options: AuthoritiesOptions,
): Promise<Step | undefined> {
  const now = options.clock()
  const active = own.find(({ state }) => state === 'active')
  const prepared = own.find(({ state }) => state === 'prepared')

  if (prepared !== undefined && now >= prepared.activateAt) return activation(prepared, active, now, options)
  // The first start, or one after the server was down for longer than a key lives.
  if (active === undefined || now >= active.expiresAt) {
    const subject = await createKey(purpose, 'active', now, now, options)
    return { action: 'create', subject, changed: [...retired(active, now, options), subject] }
  }
  if (prepared === undefined && now >= active.expiresAt - options.lifetime / 2) {
    const subject = await createKey(purpose, 'prepared', now, takeoverTime(active, now, options), options)
    return { action: 'prepare', subject, changed: [subject] }
  }
  // Tainted ones too: by now nothing that they rightly signed is valid.
  const subject = own.find(({ state, dropAt }) => (state === 'retired' || state === 'tainted') && now >= dropAt)
  return subject === undefined ? undefined : { action: 'drop', subject, changed: [subject] }
}

/** The step that brings the next rotation forward. */
export async function rotationStep(
  own: readonly StoredKey[],
  purpose: AuthorityPurpose,
  immediately: boolean,
  options: AuthoritiesOptions,
): Promise<Step> {
  const now = options.clock()
  const activateAt = immediately ? now : now + options.publishAhead
  const prepared = own.find(({ state }) => state === 'prepared')
  const subject =
    prepared === undefined
      ? await createKey(purpose, 'prepared', now, activateAt, options)
      : { ...prepared, activateAt: Math.min(prepared.activateAt, activateAt) }
  return { action: 'prepare', subject, changed: [subject] }
}

// When a successor that is published now takes over by itself.
function takeoverTime(active: StoredKey | undefined, now: number, { publishAhead, lifetime }: AuthoritiesOptions) {
  return Math.max(now + publishAhead, (active?.expiresAt ?? 0) - lifetime / 4)
}

function activation(
  prepared: StoredKey,
  active: StoredKey | undefined,
  now: number,
  options: AuthoritiesOptions,
): Step {
  const subject: StoredKey = { ...prepared, state: 'active', activateAt: Math.min(prepared.activateAt, now) }
  return { action: 'activate', subject, changed: [...retired(active, now, options), subject] }
}

function retired(key: StoredKey | undefined, now: number, { maxTtl }: AuthoritiesOptions): readonly StoredKey[] {
  if (key === undefined || key.purpose === 'audit-log') return []
  return [{ ...key, state: 'retired', dropAt: now + maxTtl[key.purpose] + SKEW }]
}

async function createKey(
  purpose: AuthorityPurpose,
  state: 'prepared' | 'active',
  now: number,
  activateAt: number,
  options: AuthoritiesOptions,
): Promise<StoredKey> {
  const { lifetime } = options
  // Before a key is made: whoever is away will not certify it either.
  const above = purpose === 'x509-ca' ? await options.upstream?.load() : undefined
  const key = await makeKey(`${options.trustDomain} ${purpose}`, options)
  const life = { createdAt: now, activateAt, expiresAt: Math.floor(activateAt + lifetime), dropAt: 0 }
  const base: StoredKey = { id: randomUUID(), purpose, state, ...life, key }
  if (purpose !== 'x509-ca') return base
  try {
    return await certify(base, now, above, options)
  } catch (error) {
    await destroyKey(base, options)
    throw error
  }
}

async function certify(
  base: StoredKey,
  now: number,
  above: UpstreamCa | undefined,
  { trustDomain, lifetime, pathLength = 0 }: AuthoritiesOptions,
): Promise<StoredKey> {
  const { key, activateAt } = base
  const common = { trustDomain, notBefore: Math.floor(now) - SKEW, notAfter: base.expiresAt, pathLength }
  if (above === undefined) {
    const certificate = await issueCaCertificate({ ...common, signer: key })
    return { ...base, certificate }
  }
  const { certificate, chain, expiresAt } = await above.certify({ ...common, key })
  // Shorter lives would have keys follow one another all the time.
  if (expiresAt < activateAt + lifetime / 2) {
    throw new AimsError('provisioning.upstream_expiring', 'the upstream CA ends too early')
  }
  await tryAuthority({ trustDomain, signer: key, certificate, chain }, now)
  return { ...base, expiresAt, certificate, chain }
}

function makeKey(label: string, { manager }: AuthoritiesOptions): AuthorityKey | Promise<AuthorityKey> {
  if (manager === undefined || manager.retiring) return WorkloadKey.generate('ES256')
  return generateManaged(manager.manager, label, { alg: 'ES256', timeout: manager.timeout })
}

/** Removes a key that is no longer used from its manager. What cannot be removed is recorded: it is in nobody's bundle. */
export async function destroyKey({ id, key }: StoredKey, { manager, observer }: AuthoritiesOptions): Promise<void> {
  if (manager === undefined || key instanceof WorkloadKey) return
  try {
    await within(manager.timeout, manager.manager.destroy(key.reference))
  } catch (error) {
    await observer.record({
      type: 'operation.key-not-destroyed',
      resource: { type: 'signing-key', id },
      action: 'destroy',
      decision: 'none',
      correlationId: randomUUID(),
      details: { reference: key.reference, code: AimsError.is(error) ? error.code : 'operation.internal' },
    })
  }
}

/** What the log says about a step. */
export function stepEvent({ action, subject, forced }: Step, actor: Actor): AuditEvent {
  const { id, purpose, key, activateAt, expiresAt } = subject
  return {
    type: ACTIONS[action].type,
    agent: { id: actor.name, method: actor.method },
    resource: { type: 'signing-key', id },
    action,
    decision: 'allow',
    correlationId: actor.correlationId,
    details: {
      purpose,
      thumbprint: key.kid,
      activateAt: Math.floor(activateAt),
      expiresAt: Math.floor(expiresAt),
      ...(forced === true ? { forced } : {}),
    },
  }
}

/** What the log says about a step that was asked for and is not in order. */
export function refusalEvent(command: Command, purpose: AuthorityPurpose, code: string, actor: Actor): AuditEvent {
  return {
    type: 'provisioning.refused',
    agent: { id: actor.name, method: actor.method },
    resource: { type: 'signing-key', id: 'id' in command ? command.id : purpose },
    action: command.action,
    decision: 'deny',
    reasons: [code],
    correlationId: actor.correlationId,
    details: { purpose },
  }
}
