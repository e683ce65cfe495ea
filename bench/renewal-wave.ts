// Goal P11, the wave: 10,000 SVIDs that were issued at once fall due in one jitter window. Each is issued anew with a key of
// its own and pushed; no stream may wait for longer than that window after the last moment at which it could fall due. The
// agent is a process of its own and signs with a real CA in it, in place of the server. Prints also what the agent used.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AttestationResult, Attestor, PeerCredentials } from 'aims/attestation'
import { noObserver, systemClock, WorkloadKey } from 'aims/base'
import { createX509Authority, emptyBundle, issueCaCertificate, issueX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { parseEntry, WorkloadApiClient } from 'aims/provisioning'
import { WorkloadApiServer } from 'aims-agent'
import { startServerBackend } from '../packages/agent/src/backend.ts'
import type { ServerClient } from '../packages/agent/src/server-client.ts'
import { settle } from './support/table.ts'

const QUICK = process.env.AIMS_BENCH_QUICK === '1'
// Connections, each a workload of its own, and the identities that each has: a process has 20,000 files on many machines.
const WORKLOADS = QUICK ? 50 : 2500
const EACH = 4
/** Seconds. Due at four to five tenths of it, as the agent spreads it. */
const LIFE = QUICK ? 10 : 120
const WINDOW = LIFE / 10

/** A workload that waits until each of its SVIDs was renewed. */
class Waiting {
  /** Seconds from the latest end of a window to the push of the identity; the longest of its identities. */
  longest = 0
  readonly renewed: Promise<void>
  readonly #client: WorkloadApiClient
  readonly #first = new Map<string, { readonly due: number; readonly kid: string }>()
  readonly #done = new Set<string>()

  private constructor(address: string, connected: () => void) {
    this.#client = new WorkloadApiClient({ address })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.renewed = promise
    const watching = this.#client.watchX509Svids({
      onUpdate: ({ svids }) => {
        const now = Date.now() / 1000
        for (const { spiffeId, key, expiresAt } of svids) {
          const first = this.#first.get(spiffeId)
          if (first === undefined) this.#first.set(spiffeId, { due: expiresAt - LIFE / 2, kid: key.kid })
          else if (key.kid !== first.kid && !this.#done.has(spiffeId)) {
            this.#done.add(spiffeId)
            this.longest = Math.max(this.longest, now - first.due)
          }
        }
        connected()
        if (this.#done.size === EACH) resolve()
      },
    })
    watching.catch(reject)
  }

  static async connect(address: string): Promise<Waiting> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiting = new Waiting(address, resolve)
    await promise
    return waiting
  }

  close(): void {
    this.renewed.catch(() => undefined)
    this.#client.close()
  }
}

const [, , socketPath] = process.argv
if (socketPath === undefined) await drive()
else await serve(socketPath)

async function drive(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'aims-bench-'))
  const path = join(directory, 's')
  const agent = fork(new URL(import.meta.url), [path], { stdio: 'inherit' })
  await once(agent, 'message')
  const used = async (): Promise<number> => {
    agent.send('cpu')
    const [seconds] = await once(agent, 'message')
    return seconds
  }
  const workloads: Waiting[] = []
  for (let number = 0; number < WORKLOADS; number += 1) workloads.push(await Waiting.connect(`unix://${path}`))
  const before = await used()
  await Promise.all(workloads.map(({ renewed }) => renewed))
  const seconds = (await used()) - before
  const waits = workloads.map(({ longest }) => longest).sort((a, b) => a - b)
  const at = (part: number): string => (waits[Math.floor((waits.length - 1) * part)] ?? Number.NaN).toFixed(2)
  console.log(`${WORKLOADS * EACH} SVIDs of ${WORKLOADS} workloads renewed, all due within ${WINDOW} s`)
  console.log(`  the longest wait of a stream after its window: half ${at(0.5)} s, p99 ${at(0.99)} s, all ${at(1)} s`)
  console.log(`  ${((seconds / WORKLOADS / EACH) * 1e6).toFixed(0)} us of the agent for each, signature included`)
  const measured = Math.max(0, ...waits) / WINDOW
  settle({ id: 'P11, wave of 10,000 SVIDs, longest wait', measured, unit: 'windows', limit: { atMost: 1 } })
  if (!QUICK && measured > 1) process.exitCode = 1
  for (const one of workloads) one.close()
  agent.disconnect()
  rmSync(directory, { recursive: true, force: true })
}

async function serve(path: string): Promise<void> {
  const trustDomain = parseTrustDomain('example.com')
  const signer = WorkloadKey.generate()
  const now = Math.floor(Date.now() / 1000)
  const root = await issueCaCertificate({ trustDomain, signer, notBefore: now - 60, notAfter: now + 86_400 })
  const authority = createX509Authority({ trustDomain, signer, certificate: root })
  const entries = Array.from({ length: WORKLOADS * EACH }, (_, number) => {
    const workload = Math.floor(number / EACH)
    return parseEntry(
      {
        id: `e${number}`,
        spiffeId: `spiffe://example.com/job/${workload}/${number % EACH}`,
        selectors: [`bench:workload:${workload}`],
        credentialTypes: ['x509-svid'],
        x509Ttl: LIFE,
      },
      { trustDomain },
    )
  })
  const never = (): never => {
    throw new TypeError('nobody asks for this here')
  }
  const server: ServerClient = {
    async sync(before, signal) {
      if (before !== undefined) await new Promise((resolve) => signal.addEventListener('abort', resolve))
      const bundle = { ...emptyBundle(trustDomain), x509Authorities: [root] }
      return before ?? { revision: 1, bundle, federated: new Map(), entries }
    },
    async issueX509({ spiffeId, x509Ttl }, { publicKey }) {
      const notBefore = Math.floor(Date.now() / 1000)
      const request = { spiffeId, publicKey, notBefore, notAfter: notBefore + x509Ttl }
      const { certificates, notAfter } = await issueX509Svid(request, authority)
      return { certificates, expiresAt: notAfter }
    },
    issueWit: never,
    issueJwt: never,
  }
  const backend = startServerBackend({ server, clock: systemClock, log: console.error })
  await backend.ready
  let workloads = 0
  const numbers = new WeakMap<PeerCredentials, number>()
  const attestor: Attestor<PeerCredentials> = {
    type: 'unix',
    async attest(peer, { now: verifiedAt }): Promise<AttestationResult> {
      const number = numbers.get(peer) ?? workloads++
      numbers.set(peer, number)
      return {
        type: 'unix',
        selectors: [`bench:workload:${number}`],
        verifiedAt,
        binding: 'channel',
        freshness: 'live',
        debug: false,
        warnings: [],
        attributes: {},
      }
    },
  }
  const limits = { maxConnectionsPerUser: 10_000, arrivalsPerUser: 1000 }
  await WorkloadApiServer.start({ socketPath: path, backend, observer: noObserver, attestor, ...limits })
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send?.((user + system) / 1e6)
  })
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
  // As long as the driver is there.
  for (;;) await sleep(60_000)
}
