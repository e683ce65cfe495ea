import { randomUUID } from 'node:crypto'
import { AimsError } from 'aims/base'
import { type Actor, serializer } from '../entries.ts'
import type { StoredKey } from '../store/key-store.ts'
import { snapshotOf } from './authority-snapshot.ts'
import {
  ACTIONS,
  type Command,
  commandedStep,
  destroyKey,
  nextStep,
  refusalEvent,
  rotationStep,
  type Step,
  stepEvent,
} from './authority-steps.ts'
import {
  AUTHORITY_PURPOSES,
  type Authorities,
  type AuthoritiesOptions,
  type AuthorityPurpose,
  type KeyInfo,
} from './authority-types.ts'
import { createPublication } from './publication.ts'

/** Seconds. */
const PAUSE = 30
const AUTOMATIC: Omit<Actor, 'correlationId'> = { name: 'aims:server', method: 'schedule' }

/**
 * Opens the keys of the trust domain and makes the first ones. A successor is in the bundle before it signs, and a
 * retired key stays in it until all it signed has expired. Every step is in the log before it takes effect; so are the
 * steps that an operator asked for out of order, and did not get.
 *
 * @throws {@link AimsError} `operation.store_damaged`, `operation.upstream_*` when keys are needed that nobody above certifies, and
 *   what the observer throws
 * @see SPIFFE Trust Domain and Bundle, section 4 (rotation); security-and-reliability 6.5
 */
export async function openAuthorities(options: AuthoritiesOptions): Promise<Authorities> {
  const { trustDomain, seal, store, meta, observer } = options
  const listeners = new Set<() => void>()
  const oneAtATime = serializer()
  const keys = new Map<string, StoredKey>()
  for (const key of store.load()) if (key.purpose !== 'audit-log') keys.set(key.id, key)
  const neighbours = options.neighbours
  const look = () => {
    const bundles = neighbours?.list().map(({ bundle }) => bundle)
    return snapshotOf(trustDomain, [...keys.values()], meta, options.refreshHint, bundles)
  }
  let current = look()

  const take = async (step: Step, actor: Actor): Promise<void> => {
    const isNew = !keys.has(step.subject.id)
    try {
      // Above first: what signs here is to be known there before.
      if (isNew && step.subject.purpose !== 'x509-ca') await publication.publish([...keys.values(), step.subject])
      await write(step, actor)
    } catch (error) {
      // What was not written is nobody's key.
      if (isNew) await destroyKey(step.subject, options)
      throw error
    }
    if (ACTIONS[step.action].removes) await destroyKey(step.subject, options)
  }
  const write = async (step: Step, actor: Actor): Promise<void> => {
    const { changesBundle, removes } = ACTIONS[step.action]
    await observer.record(stepEvent(step, actor))
    seal.transaction(() => {
      for (const key of step.changed) {
        if (removes) store.remove(key)
        else if (keys.has(key.id)) store.update(key)
        else store.insert(key)
      }
      meta.advance('revision')
      if (changesBundle) meta.advance('bundle_sequence')
    })
    for (const key of step.changed) {
      if (removes) keys.delete(key.id)
      else keys.set(key.id, key)
    }
    renew()
  }
  const renew = (): void => {
    current = look()
    for (const listener of listeners) listener()
  }
  const exchange: Authorities['exchange'] = async (change, event) => {
    await observer.record(event)
    seal.transaction(() => {
      if (neighbours === undefined) throw new TypeError('there is no store of neighbours')
      change(neighbours)
      meta.advance('revision')
      meta.advance('bundle_sequence')
    })
    renew()
  }
  const publication = createPublication(options, exchange)
  const ownOf = (purpose: AuthorityPurpose) => [...keys.values()].filter((key) => key.purpose === purpose)
  const automatic = (): Actor => ({ ...AUTOMATIC, correlationId: randomUUID() })
  const useless = new Map<AuthorityPurpose, { readonly until: number; readonly error: unknown }>()
  // A CA from above that is no use would be no other a few seconds later: whoever made it is not asked all the time.
  const advanceOne = async (purpose: AuthorityPurpose): Promise<void> => {
    const last = useless.get(purpose)
    if (last !== undefined && options.clock() < last.until) throw last.error
    await stepOn(purpose).catch((error: unknown) => {
      const isUseless = AimsError.is(error) && error.code.startsWith('provisioning.upstream_')
      if (isUseless) useless.set(purpose, { until: options.clock() + PAUSE, error })
      throw error
    })
  }
  const stepOn = async (purpose: AuthorityPurpose): Promise<void> => {
    // One step leads to the next, e.g. a key that is prepared and due.
    for (let step = await nextStep(ownOf(purpose), purpose, options); step !== undefined; ) {
      await take(step, automatic())
      step = await nextStep(ownOf(purpose), purpose, options)
    }
  }
  // What keeps the keys of one purpose from rotating, e.g. an upstream CA, does not keep the others.
  const tryAll = () => failuresOf(AUTHORITY_PURPOSES.map((purpose) => () => advanceOne(purpose)))
  const advanceAll = async (): Promise<void> => throwFirst(await tryAll())
  // The server above gives no CA below a root that it has tainted: the next one is below another.
  const replaceTainted = async (): Promise<void> => {
    const below = ownOf('x509-ca').filter(publication.isTainted)
    for (const key of below.filter(({ state }) => state === 'prepared')) {
      await take({ action: 'revoke', subject: key, changed: [key] }, automatic())
    }
    if (below.some(({ state }) => state === 'active')) {
      await take(await rotationStep(ownOf('x509-ca'), 'x509-ca', true, options), automatic())
      await advanceOne('x509-ca')
    }
    for (const key of ownOf('x509-ca').filter(publication.isTainted)) {
      const subject: StoredKey = { ...key, state: 'tainted' }
      if (key.state === 'retired') await take({ action: 'taint', subject, changed: [subject] }, automatic())
    }
  }
  const command = (purpose: AuthorityPurpose, wanted: Command, actor: Actor): Promise<KeyInfo> =>
    oneAtATime(async () => {
      const step = await commandedStep(wanted, ownOf(purpose), purpose, options).catch(async (error: unknown) => {
        if (AimsError.is(error)) await observer.record(refusalEvent(wanted, purpose, error.code, actor))
        throw error
      })
      await take(step, actor)
      return describe(step.subject)
    })

  const failures = await oneAtATime(tryAll)
  const signsNow = (purpose: AuthorityPurpose): boolean =>
    ownOf(purpose).some(({ state, expiresAt }) => state === 'active' && options.clock() < expiresAt)
  // A server whose keys sign needs nobody above for its start: `advance` tries again, and says what is wrong.
  if (!(failures.every(isFromAbove) && AUTHORITY_PURPOSES.every(signsNow))) throwFirst(failures)
  return {
    x509: () => signing(current.x509),
    jwt: () => signing(current.jwt),
    wit: () => signing(current.wit),
    bundle: () => current.bundle,
    standing: () => current.standing,
    list: () => [...keys.values()].map(describe),
    advance: () =>
      oneAtATime(async () =>
        throwFirst(await failuresOf([advanceAll, () => publication.keepUp([...keys.values()]), replaceTainted])),
      ),
    rotate: (purpose, actor, { immediately = false } = {}) =>
      oneAtATime(async () => {
        await take(await rotationStep(ownOf(purpose), purpose, immediately, options), actor)
        await advanceAll()
      }),
    prepare: (purpose, actor) => command(purpose, { action: 'prepare' }, actor),
    activate: (purpose, actor, { force = false } = {}) => command(purpose, { action: 'activate', force }, actor),
    taint: (purpose, id, actor) => command(purpose, { action: 'taint', id }, actor),
    revoke: (purpose, id, actor) => command(purpose, { action: 'revoke', id }, actor),
    exchange: (change, event) => oneAtATime(() => exchange(change, event)),
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

async function failuresOf(works: readonly (() => Promise<void>)[]): Promise<readonly unknown[]> {
  const failures: unknown[] = []
  for (const work of works) await work().catch((error: unknown) => failures.push(error))
  return failures
}

function throwFirst(failures: readonly unknown[]): void {
  if (failures.length > 0) throw failures[0]
}

function isFromAbove(error: unknown): boolean {
  return AimsError.is(error) && /^(?:operation|provisioning)\.upstream_/.test(error.code)
}

function signing<T>(signer: T | undefined): T {
  if (signer === undefined) throw new AimsError('provisioning.authority_expired', 'no key signs for this purpose')
  return signer
}

function describe({ key, certificate: _, chain: __, ...info }: StoredKey): KeyInfo {
  return { ...info, thumbprint: key.kid }
}
