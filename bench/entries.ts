// What an agent costs when there are 10, 100, 1,000 or 10,000 of them: matching a workload, finding an entry by its SPIFFE
// ID, changing one, issuing for one, and memory. The goal is that it stays flat: everything is compared with 10 entries.
import { randomBytes } from 'node:crypto'
import { spkiBytes, systemClock, WorkloadKey } from 'aims/base'
import { createX509Authority, issueCaCertificate } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import {
  createEntryIndex,
  createIssuer,
  DEFAULT_TTLS,
  type EntryIndex,
  type Issuer,
  matchEntries,
  parseEntry,
  type RegistrationEntry,
} from 'aims/provisioning'
import { keyEncryptionKey } from '../packages/aims/src/base/key-encryption-key.ts'
import { createEntryRegistry, type EntryRegistry } from '../packages/server/src/entries.ts'
import { readChanges } from '../packages/server/src/registration/planning.ts'
import { openStore } from '../packages/server/src/store/database.ts'
import { openEntryStore } from '../packages/server/src/store/entry-store.ts'
import { openMeta } from '../packages/server/src/store/meta.ts'
import { openSeal } from '../packages/server/src/store/seal.ts'
import { type BenchCase, report, roundRobin } from './harness.ts'

const SIZES = [10, 100, 1000, 10_000]
const trustDomain = parseTrustDomain('example.com')
const now = Math.floor(systemClock())
const quiet = { record: async () => undefined }
const actor = { name: 'unix:uid:0', method: 'unix', correlationId: 'bench' }

const signer = WorkloadKey.generate()
const certificate = await issueCaCertificate({ trustDomain, signer, notBefore: now - 60, notAfter: now + 604_800 })
const x509 = createX509Authority({ trustDomain, signer, certificate })
const token = WorkloadKey.generate()
const publicKey = WorkloadKey.generate().publicKey
spkiBytes(publicKey)

interface Fleet {
  readonly size: number
  readonly entries: readonly RegistrationEntry[]
  readonly index: EntryIndex
  readonly issuer: Issuer
  readonly registry: EntryRegistry
  /** Bytes. */
  readonly memory: number
}

// All agents run as one user, from one image and in one namespace: only the last selector tells them apart.
function entryOf(number: number): object {
  return {
    id: `agent-${number}`,
    spiffeId: `spiffe://example.com/agent/bot-${number}`,
    selectors: ['unix:uid:1000', 'docker:image_id:bot:1', 'k8s:ns:agents', `k8s:pod-label:agent:bot-${number}`],
    owner: 'bench',
    purpose: 'measures',
  }
}

function shownBy(number: number): readonly string[] {
  return [
    'unix:uid:1000',
    'unix:gid:1000',
    'docker:image_id:bot:1',
    'k8s:ns:agents',
    `k8s:pod-label:agent:bot-${number}`,
  ]
}

async function fleet(size: number): Promise<Fleet> {
  const before = memory()
  const entries = Array.from({ length: size }, (_, number) => parseEntry({ ...entryOf(number) }, { trustDomain }))
  const index = createEntryIndex(entries)
  const used = memory() - before
  const issuer = createIssuer({
    keys: { x509: () => x509, jwt: () => token, wit: () => token },
    findEntry: index.find,
    clock: systemClock,
    observer: quiet,
    bindings: { bind: async () => true },
    confirmations: { register: async () => undefined },
    isProfileEnabled: () => true,
    issuer: 'https://example.com',
  })
  const db = openStore(':memory:')
  const key = keyEncryptionKey(randomBytes(32))
  const meta = openMeta(db)
  const store = openEntryStore(db, { key, meta, seal: openSeal(db, key, meta), trustDomain })
  const registry = createEntryRegistry({
    store,
    trustDomain,
    ttls: DEFAULT_TTLS,
    agentPrefixes: ['/agent/'],
    delegations: new Map(),
    verifiers: new Map(),
    clock: systemClock,
    observer: quiet,
  })
  const creates = entries.map((_, number) => ({ action: 'create', entry: { ...entryOf(number) } }))
  await registry.apply(readChanges(creates), actor)
  return { size, entries, index, issuer, registry, memory: used }
}

function memory(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

const fleets: readonly Fleet[] = await (async () => {
  const all: Fleet[] = []
  for (const size of SIZES) all.push(await fleet(size))
  return all
})()

// Agents in turn, spread over the whole fleet, so that no size has warmer caches by taking fewer different ones.
const picks = (size: number): readonly number[] => Array.from({ length: 10 }, (_, i) => Math.floor((i * size) / 10))

function perSize(what: string, run: (one: Fleet, number: number) => unknown): readonly BenchCase[] {
  return fleets.map((one) => {
    const numbers = picks(one.size)
    return {
      name: `${what}, ${one.size} entries`,
      run: async (times) => {
        for (let i = 0; i < times; i += 1) await run(one, numbers[i % numbers.length] ?? 0)
      },
    }
  })
}

const flat = (what: string) =>
  SIZES.slice(1).map((size) => ({ id: `flat: ${what} at ${size}`, case: `${what}, ${size} entries`, atMost: 1.5 }))

for (const [what, run] of [
  ['match a workload', ({ index }: Fleet, number: number) => index.match(shownBy(number))],
  [
    'find by SPIFFE ID',
    ({ index, entries }: Fleet, number: number) => index.findBySubject(entries[number]?.spiffeId as never),
  ],
  [
    'issue an X.509-SVID',
    ({ issuer }: Fleet, number: number) =>
      issuer.issueX509({
        entryId: `agent-${number}`,
        posture: { type: 'unix', selectors: shownBy(number) },
        correlationId: 'bench',
        publicKey,
      }),
  ],
  [
    'change an entry',
    ({ registry }: Fleet, number: number) => {
      const id = `agent-${number}`
      return registry.update(id, { ...entryOf(number) } as never, registry.find(id)?.revision ?? 0, actor)
    },
  ],
] as const) {
  report(`Entries: ${what}`, await roundRobin(perSize(what, run)), flat(what))
}

const last = fleets.at(-1)
if (last !== undefined) {
  report(
    'Entries: what the index saves at 10,000',
    await roundRobin([
      { name: 'search through all', run: (times) => repeat(times, () => matchEntries(last.entries, shownBy(5000))) },
      { name: 'index', run: (times) => repeat(times, () => last.index.match(shownBy(5000))) },
    ]),
  )
}
console.log('Entries: memory, entry and index together')
for (const { size, memory: used } of fleets)
  console.log(`  ${(used / size / 1024).toFixed(2)} KiB per entry at ${size}`)

function repeat(times: number, action: () => unknown): void {
  for (let i = 0; i < times; i += 1) action()
}
