import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { AimsError, apiClient, type JsonObject, WorkloadKey } from 'aims/base'
import { bundleSource, parseBundle, verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { AuditReader, databaseSource, verifyLog } from 'aims/monitoring'
import { adminClient, loadConfig, startServer } from 'aims-server'

const ROUNDS = Number(process.env.AIMS_KILL_ROUNDS ?? 10)
const SEED = process.env.AIMS_KILL_SEED ?? String(Date.now())
// A new data directory now and then, so that its making is interrupted too.
const ROUNDS_PER_DIRECTORY = 10
const CLIENTS = 4

const root = mkdtempSync(join(tmpdir(), 'aims-issuance-kill-'))
after(() => rmSync(root, { recursive: true }))
const program = fileURLToPath(new URL('server.ts', import.meta.url))
const trustDomain = parseTrustDomain('example.com')
const publicKey = WorkloadKey.generate().publicKey.export({ format: 'jwk' })
const posture = { type: 'unix', selectors: ['unix:uid:1000'] }

/** What clients were told, and so must be true after any crash. */
interface Journal {
  /** Serial number to the chain. */
  readonly issued: Map<string, Uint8Array>
  readonly entries: Map<string, number>
}

/** A number from 0 up to 1 that the seed and the round decide. */
function chance(round: number, what: string): number {
  return createHash('sha256').update(`${SEED} ${round} ${what}`).digest().readUInt32BE() / 2 ** 32
}

function startChild(dataDirectory: string): ChildProcess {
  const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']
  return spawn(process.execPath, [...flags, program, dataDirectory], { stdio: ['ignore', 'pipe', 'inherit'] })
}

// A child that ends before it is ready would be waited for for ever.
async function ready(child: ChildProcess, where: string): Promise<void> {
  const ended = once(child, 'exit').then(() => assert.fail(`the server ended before it was ready, ${where}`))
  ended.catch(() => undefined)
  await Promise.race([once(child.stdout ?? child, 'data'), ended])
}

// Works as fast as it can, and writes down what it was told, until the server is gone.
async function work(socketPath: string, name: string, journal: Journal): Promise<void> {
  const api = apiClient({ socketPath })
  const admin = adminClient(api)
  const subject = `spiffe://example.com/agent/${name}`
  try {
    await admin.createEntry({
      id: name,
      spiffeId: subject,
      selectors: posture.selectors,
      owner: 'test',
      purpose: 'test',
    })
    journal.entries.set(name, 1)
    for (let count = 0; ; count += 1) {
      const body = { entryId: 'bot', posture, publicKey }
      const answer = (await api.send({ method: 'POST', path: '/v1/agent/x509-svids', body })) as JsonObject
      const [leaf = ''] = answer.chain as string[]
      journal.issued.set(String(answer.serialNumber), Buffer.from(leaf, 'base64'))
      if (count % 5 === 0) {
        const entry = { spiffeId: subject, selectors: posture.selectors, owner: `${count}`, purpose: 'test' }
        const { revision } = await admin.updateEntry(name, entry, journal.entries.get(name) ?? 0)
        journal.entries.set(name, revision)
      }
      if (count % 11 === 5) await admin.rotate('x509-ca', { immediately: true })
    }
  } catch (error) {
    if (!AimsError.is(error) || !error.code.startsWith('operation.server_')) throw error
  } finally {
    api.close()
  }
}

// Starts the server in this process on what the killed one left, and compares it with the journal.
async function check(dataDirectory: string, journal: Journal, where: string): Promise<number> {
  const overrides = { trustDomain: 'example.com', dataDirectory, 'listen.port': 0 }
  const began = performance.now()
  const server = await startServer(await loadConfig({ env: {}, overrides }))
  const took = performance.now() - began
  const api = apiClient({ socketPath: server.socketPath })
  const admin = adminClient(api)
  try {
    using log = AuditReader.openFile(join(dataDirectory, 'log.sqlite'))
    const recorded = log
      .read(0, log.size)
      .flatMap(({ record }) => (record.type === 'provisioning.issued' ? [record.agent?.credential?.id ?? ''] : []))
    assert.equal(new Set(recorded).size, recorded.length, `a serial number was recorded twice, ${where}`)
    const missing = [...journal.issued.keys()].filter((serial) => !recorded.includes(serial))
    assert.deepEqual(missing, [], `issued and not in the log, ${where}`)

    const { bundle } = parseBundle(server.bundle(), trustDomain)
    for (const leaf of journal.issued.values()) {
      verifyX509Svid([leaf], { bundles: bundleSource(bundle), now: Date.now() / 1000 })
    }
    const entries = new Map((await admin.listEntries()).map(({ id, revision }) => [id, revision]))
    for (const [id, revision] of journal.entries) {
      assert.ok((entries.get(id) ?? 0) >= revision, `the entry ${id} is lost or old, ${where}`)
    }
    // What was asked for and not acknowledged may have happened: then the journal learns it here.
    for (const [id, revision] of entries) journal.entries.set(id, revision)
    if (!entries.has('bot')) {
      await admin.createEntry({
        id: 'bot',
        spiffeId: 'spiffe://example.com/agent/bot',
        selectors: posture.selectors,
        owner: 'test',
        purpose: 'test',
      })
    }
  } finally {
    api.close()
    await server.close()
  }
  using source = databaseSource(join(dataDirectory, 'log.sqlite'))
  assert.equal(verifyLog(source, { vkey: server.logKey }).ok, true, `the log does not verify, ${where}`)
  return took
}

test(`a server killed at any moment loses no acknowledged issuance, entry or key, over ${ROUNDS} kills`, async (t) => {
  t.diagnostic(`AIMS_KILL_SEED=${SEED}`)
  let acknowledged = 0
  let slowest = 0
  let journal: Journal = { issued: new Map(), entries: new Map() }

  for (let round = 0; round < ROUNDS; round += 1) {
    const where = `round ${round}, AIMS_KILL_SEED=${SEED}`
    const dataDirectory = join(root, String(Math.floor(round / ROUNDS_PER_DIRECTORY)))
    if (round % ROUNDS_PER_DIRECTORY === 0) journal = { issued: new Map(), entries: new Map() }
    const before = journal.issued.size
    const child = startChild(dataDirectory)
    const ended = once(child, 'exit')
    // Some kills hit the start, and the first start of a directory; the others hit the work.
    if (round % ROUNDS_PER_DIRECTORY === 0 || chance(round, 'early') < 0.2) {
      await sleep(150 + chance(round, 'start') * 300)
      child.kill('SIGKILL')
    } else {
      await ready(child, where)
      const socketPath = join(dataDirectory, 'api.sock')
      let failure: unknown
      const clients = Promise.all(
        Array.from({ length: CLIENTS }, (_, n) => work(socketPath, `r${round}-${n}`, journal)),
      ).catch((error: unknown) => {
        failure = error
      })
      const enough = before + 4 + Math.floor(chance(round, 'enough') * 12)
      while (journal.issued.size < enough && child.exitCode === null && failure === undefined) await sleep(2)
      await sleep(chance(round, 'delay') * 40)
      child.kill('SIGKILL')
      await clients
      assert.equal(failure, undefined, `a client was told something else than an answer, ${where}`)
    }
    await ended
    acknowledged += journal.issued.size - before
    slowest = Math.max(slowest, await check(dataDirectory, journal, where))
  }
  t.diagnostic(
    `${ROUNDS} kills, ${acknowledged} issuances acknowledged, none lost; ready again in ${slowest.toFixed(0)} ms at most`,
  )
  assert.ok(acknowledged > ROUNDS, 'the servers were killed before they issued')
})
