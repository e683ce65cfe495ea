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
import { bundleSource, parseBundle, type TrustBundle, verifyJwtSvid, verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { AuditReader, databaseSource, verifyLog } from 'aims/monitoring'
import { type AdminClient, adminClient, loadConfig, startServer } from 'aims-server'

// The steps of an authority, each of which may be the last thing that a server does.

const ROUNDS = Number(process.env.AIMS_KILL_ROUNDS ?? 8)
const SEED = process.env.AIMS_KILL_SEED ?? String(Date.now())
const PURPOSES = ['x509-ca', 'jwt', 'wit'] as const
type Purpose = (typeof PURPOSES)[number]

const root = mkdtempSync(join(tmpdir(), 'aims-authority-kill-'))
after(() => rmSync(root, { recursive: true }))
const program = fileURLToPath(new URL('server.ts', import.meta.url))
const dataDirectory = join(root, 'data')
const socketPath = join(dataDirectory, 'api.sock')
const trustDomain = parseTrustDomain('example.com')
const audience = 'https://api.example.com'
const publicKey = WorkloadKey.generate().publicKey.export({ format: 'jwk' })
const posture = { type: 'unix', selectors: ['unix:uid:1000'] }
const STATES = ['prepared', 'active', 'retired', 'tainted', 'revoked'] as const

/** What an operator was told, and so must be true after any crash. */
interface Journal {
  /** How far each key has come, by its id. */
  readonly keys: Map<string, { readonly purpose: Purpose; readonly thumbprint: string; readonly reached: number }>
  /** What workloads were given, with the id of the key that signed then. */
  readonly issued: { readonly key: string; readonly chain?: readonly Uint8Array[]; readonly token?: string }[]
}

function chance(round: number, what: string): number {
  return createHash('sha256').update(`${SEED} ${round} ${what}`).digest().readUInt32BE() / 2 ** 32
}

async function startChild(where: string): Promise<ChildProcess> {
  const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']
  const stdio = ['ignore', 'pipe', 'inherit'] as const
  const child = spawn(process.execPath, [...flags, program, dataDirectory], { stdio: [...stdio] })
  const ended = once(child, 'exit').then(() => assert.fail(`the server ended before it was ready, ${where}`))
  ended.catch(() => undefined)
  await Promise.race([once(child.stdout ?? child, 'data'), ended])
  return child
}

async function activeKey(admin: AdminClient, purpose: Purpose): Promise<string> {
  return (await admin.listKeys()).find((key) => key.purpose === purpose && key.state === 'active')?.id ?? 'none'
}

// Goes through all steps of one purpose, and writes down each that was acknowledged. A workload gets something before each.
async function operate(purpose: Purpose, journal: Journal): Promise<void> {
  const api = apiClient({ socketPath })
  const admin = adminClient(api)
  const reach = (id: string, thumbprint: string, state: (typeof STATES)[number]): void =>
    void journal.keys.set(id, { purpose, thumbprint, reached: STATES.indexOf(state) })
  const issue = async (): Promise<void> => {
    const key = await activeKey(admin, purpose)
    const ask = async (kind: string, more: object): Promise<JsonObject> =>
      (await api.send({
        method: 'POST',
        path: `/v1/agent/${kind}`,
        body: { entryId: 'bot', posture, ...more },
      })) as JsonObject
    if (purpose === 'x509-ca') {
      const { chain } = await ask('x509-svids', { publicKey })
      journal.issued.push({ key, chain: (chain as string[]).map((der) => Buffer.from(der, 'base64')) })
    } else if (purpose === 'jwt') {
      const { token } = await ask('jwt-svids', { audiences: [audience] })
      journal.issued.push({ key, token: String(token) })
    }
  }
  try {
    for (;;) {
      // Whatever the last server left half done is gone on with.
      const own = (await admin.listKeys()).filter((key) => key.purpose === purpose)
      for (const { id, state } of own) {
        if (state === 'retired') await admin.stepAuthority({ step: 'taint', purpose, id })
      }
      for (const { id, thumbprint } of own.filter(({ state }) => state === 'retired' || state === 'tainted')) {
        reach(id, thumbprint, 'tainted')
        await admin.stepAuthority({ step: 'revoke', purpose, id })
        reach(id, thumbprint, 'revoked')
      }
      await issue()
      const former = await activeKey(admin, purpose)
      if (!own.some(({ state }) => state === 'prepared')) {
        const { id, thumbprint } = await admin.stepAuthority({ step: 'prepare', purpose })
        reach(id, thumbprint, 'prepared')
      }
      const { id, thumbprint } = await admin.stepAuthority({ step: 'activate', purpose, force: true })
      reach(id, thumbprint, 'active')
      const retired = journal.keys.get(former)
      if (retired !== undefined) reach(former, retired.thumbprint, 'retired')
      await issue()
    }
  } catch (error) {
    if (!AimsError.is(error) || !error.code.startsWith('operation.server_')) throw error
  } finally {
    api.close()
  }
}

function holds(
  bundle: TrustBundle,
  { purpose, thumbprint }: { readonly purpose: Purpose; readonly thumbprint: string },
): boolean {
  return purpose === 'jwt' ? bundle.jwtAuthorities.has(thumbprint) : bundle.witAuthorities.has(thumbprint)
}

// Starts the server in this process on what the killed one left, and compares it with the journal.
async function check(journal: Journal, where: string): Promise<void> {
  const overrides = { trustDomain, dataDirectory, 'listen.port': 0 }
  const server = await startServer(await loadConfig({ env: {}, overrides }), { log: () => undefined })
  const api = apiClient({ socketPath: server.socketPath })
  const admin = adminClient(api)
  try {
    const { bundle } = parseBundle(server.bundle(), trustDomain)
    const now = new Map((await admin.listKeys()).map((key) => [key.id, key]))
    for (const purpose of PURPOSES) {
      const active = [...now.values()].filter((key) => key.purpose === purpose && key.state === 'active')
      assert.equal(active.length, 1, `one key of ${purpose} signs, ${where}`)
    }
    for (const [id, key] of journal.keys) {
      const state = now.get(id)?.state ?? 'revoked'
      assert.ok(STATES.indexOf(state) >= key.reached, `a key was ${STATES[key.reached]} and is ${state}, ${where}`)
      if (key.purpose === 'x509-ca') continue
      assert.equal(holds(bundle, key), state !== 'revoked', `a key that is ${state} and the bundle, ${where}`)
    }
    // What was issued stands as long as its key does, and not a moment longer.
    for (const { key, chain, token } of journal.issued) {
      const expected = { bundles: bundleSource(bundle), now: Date.now() / 1000 }
      const verify = (): unknown =>
        token === undefined ? verifyX509Svid(chain ?? [], expected) : verifyJwtSvid(token, { ...expected, audience })
      if (now.has(key)) verify()
      else assert.throws(verify, { code: token === undefined ? 'x509.untrusted' : 'credential.unknown_key' }, where)
    }
    using log = AuditReader.openFile(join(dataDirectory, 'log.sqlite'))
    const recorded = new Set(log.read(0, log.size).map(({ record }) => `${record.action} ${record.resource.id}`))
    for (const [id, { reached }] of journal.keys) {
      const steps = {
        prepared: 'prepare',
        active: 'activate',
        retired: 'activate',
        tainted: 'taint',
        revoked: 'revoke',
      }
      const step = steps[STATES[reached] ?? 'prepared']
      const isThere = recorded.has(`${step} ${id}`) || recorded.has(`create ${id}`)
      assert.ok(isThere, `${step} is not in the log, ${where}`)
    }
  } finally {
    api.close()
    await server.close()
  }
  using source = databaseSource(join(dataDirectory, 'log.sqlite'))
  assert.equal(verifyLog(source, { vkey: server.logKey }).ok, true, `the log does not verify, ${where}`)
}

test(`a server killed between the steps of its authorities keeps each that was acknowledged, over ${ROUNDS} kills`, async (t) => {
  t.diagnostic(`AIMS_KILL_SEED=${SEED}`)
  const journal: Journal = { keys: new Map(), issued: [] }
  for (let round = 0; round < ROUNDS; round += 1) {
    const where = `round ${round}, AIMS_KILL_SEED=${SEED}`
    const child = await startChild(where)
    const ended = once(child, 'exit')
    if (round === 0) {
      const api = apiClient({ socketPath })
      const entry = { spiffeId: 'spiffe://example.com/agent/bot', selectors: posture.selectors }
      await adminClient(api).createEntry({ id: 'bot', ...entry, owner: 'test', purpose: 'test' })
      api.close()
    }
    const before = journal.issued.length
    let failure: unknown
    const operators = Promise.all(PURPOSES.map((purpose) => operate(purpose, journal))).catch((error: unknown) => {
      failure = error
    })
    const enough = before + 1 + Math.floor(chance(round, 'enough') * 8)
    while (journal.issued.length < enough && child.exitCode === null && failure === undefined) await sleep(2)
    await sleep(chance(round, 'delay') * 40)
    child.kill('SIGKILL')
    await operators
    await ended
    assert.equal(failure, undefined, `an operator was told something else than an answer, ${where}`)
    await check(journal, where)
  }
  const revoked = [...journal.keys.values()].filter(({ reached }) => STATES[reached] === 'revoked').length
  t.diagnostic(
    `${ROUNDS} kills, ${journal.keys.size} keys, ${revoked} of them revoked, ${journal.issued.length} credentials`,
  )
  assert.ok(revoked > 0, 'the servers were killed before anything was revoked')
})
