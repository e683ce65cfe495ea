import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { apiClient } from 'aims/base'
import { loadConfig, type RunningServer, startServer } from 'aims-server'
import { aims } from '../support/cli.ts'
import { type RunningService, startGithub } from '../support/platform-services.ts'
import { GITHUB, jwks, platformKey } from '../support/platform-tokens.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-agentless-cli-'))
const bundle = join(root, 'bundle.json')
const spiffeId = 'spiffe://example.com/ci/bot'
const JOB = ['ACTIONS_ID_TOKEN_REQUEST_URL', 'ACTIONS_ID_TOKEN_REQUEST_TOKEN'] as const
let server: RunningServer
let github: RunningService

before(async () => {
  const keys = join(root, 'data', 'collateral', GITHUB.collateral)
  mkdirSync(dirname(keys), { recursive: true, mode: 0o700 })
  writeFileSync(keys, jwks(platformKey))
  const overrides = { trustDomain: 'example.com', dataDirectory: join(root, 'data'), 'listen.port': 0 }
  server = await startServer(await loadConfig({ env: {}, overrides: { ...overrides, attestation: { github: {} } } }))
  writeFileSync(bundle, server.bundle())
  const api = apiClient({ socketPath: server.socketPath })
  const body = {
    spiffeId,
    selectors: [`github:repository_id:${String(GITHUB.claims.repository_id)}`],
    owner: 'test',
    purpose: 'test',
  }
  await api.send({ method: 'POST', path: '/v1/entries', body })
  api.close()
  github = await startGithub(GITHUB, 'job', { now: () => Date.now() / 1000 })
})
after(async () => {
  await github.close()
  await server.close()
  rmSync(root, { recursive: true })
})

const fetch = (...more: readonly string[]) =>
  aims('svid', 'fetch', '--evidence', 'github', '--server', `https://127.0.0.1:${server.port}`, ...more)
const withJob = async <T>(run: () => Promise<T>): Promise<T> => {
  process.env.ACTIONS_ID_TOKEN_REQUEST_URL = `${github.address}/token?api-version=2.0`
  process.env.ACTIONS_ID_TOKEN_REQUEST_TOKEN = 'job'
  try {
    return await run()
  } finally {
    for (const name of JOB) delete process.env[name]
  }
}

test('aims svid fetch --evidence shows evidence of this machine to a server', async () => {
  const { exit, results } = await withJob(() => fetch('--bundle', bundle, '--write', join(root, 'out')))
  assert.deepEqual([exit, results[0]?.spiffeId], [0, spiffeId])
  assert.match(readFileSync(join(root, 'out', 'svid.pem'), 'latin1'), /^-----BEGIN CERTIFICATE/)
})

test('it says what is missing', async () => {
  const codes = async (run: ReturnType<typeof fetch>): Promise<unknown> => (await run).results[0]?.code
  assert.equal(await codes(fetch('--bundle', bundle)), 'provisioning.no_evidence')
  assert.equal(await codes(fetch()), 'provisioning.nothing_to_connect')
  assert.equal(await codes(fetch('--bundle', bundle, '--socket', '/x')), 'operation.usage')
  assert.equal(await codes(aims('svid', 'fetch', '--evidence', 'passport')), 'operation.usage')
  assert.equal(await codes(aims('svid', 'fetch', '--server', 'https://h:1')), 'operation.usage')
})

test('aims attest forget lets the machine of an identity come first again', async () => {
  await withJob(() => fetch('--bundle', bundle))
  const forget = () => aims('attest', 'forget', spiffeId, '--socket', server.socketPath)
  assert.deepEqual((await forget()).results, [{ ok: true, spiffeId, forgotten: 1 }])
  assert.deepEqual((await forget()).results, [{ ok: true, spiffeId, forgotten: 0 }])
  const { exit, results } = await aims('attest', 'forget', 'nobody', '--socket', server.socketPath)
  assert.deepEqual([exit === 0, results[0]?.code], [false, 'identifier.wrong_scheme'])
})
