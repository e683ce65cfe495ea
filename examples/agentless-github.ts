// A CI job gets an identity without a secret and without an agent: it shows the token that GitHub gives to the job, and
// the identity server verifies it. GitHub's part is played here by a server on this machine, with GitHub's protocol and
// test keys. What the job does is one call: connect().
import assert from 'node:assert/strict'
import { generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'aims'
import { createAuthenticator, createMemoryReplayStore, proofHeaders } from 'aims/authentication'
import { apiClient, noObserver } from 'aims/base'
import { loadConfig, startServer } from 'aims-server'

const directory = mkdtempSync(join(tmpdir(), 'aims-example-'))

// GitHub: a key pair, its public half as GitHub publishes it, and the endpoint that gives tokens to running jobs.
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const jobToken = 'the secret that only this job has'.replaceAll(' ', '-')
let job = { repository: 'octo/bots', repository_id: '1001', event_name: 'push' }
const base64url = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
function tokenFor(audience: string): string {
  const now = Math.floor(Date.now() / 1000)
  const claims = {
    iss: 'https://token.actions.githubusercontent.com',
    aud: audience,
    sub: `repo:${job.repository}:ref:refs/heads/main`,
    jti: randomUUID(),
    iat: now,
    nbf: now - 600,
    exp: now + 300,
    repository_owner: 'octo',
    repository_owner_id: '7',
    run_id: '42',
    ref: 'refs/heads/main',
    job_workflow_ref: 'octo/bots/.github/workflows/deploy.yml@refs/heads/main',
    runner_environment: 'github-hosted',
    ...job,
  }
  const text = `${base64url({ alg: 'RS256', typ: 'JWT', kid: 'test' })}.${base64url(claims)}`
  return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`
}
const github = createServer((request: IncomingMessage, response) => {
  const audience = new URL(request.url ?? '', 'http://localhost').searchParams.get('audience')
  const isJob = request.headers.authorization === `Bearer ${jobToken}` && audience !== null
  response.writeHead(isJob ? 200 : 401, { 'content-type': 'application/json' })
  response.end(JSON.stringify(isJob ? { value: tokenFor(audience) } : {}))
})
github.listen(0, '127.0.0.1')
await once(github, 'listening')

// The identity server: type github is on, and what GitHub publishes is in its directory of collateral.
mkdirSync(join(directory, 'data', 'collateral', 'github'), { recursive: true, mode: 0o700 })
const jwks = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'test', alg: 'RS256', use: 'sig' }] }
writeFileSync(join(directory, 'data', 'collateral', 'github', 'jwks.json'), JSON.stringify(jwks))
const config = await loadConfig({
  env: {},
  overrides: {
    trustDomain: 'example.com',
    dataDirectory: join(directory, 'data'),
    'listen.port': 0,
    attestation: { github: {} },
  },
})
const server = await startServer(config)
const admin = apiClient({ socketPath: server.socketPath })
try {
  // Who is who: by numbers, which do not change hands as names do, and from pushes to one branch only.
  const entry = {
    spiffeId: 'spiffe://example.com/ci/deploy-bot',
    selectors: ['github:repository_id:1001', 'github:ref:refs/heads/main'],
    owner: 'platform team',
    purpose: 'deploys what is on the main branch',
    attestation: { github: { repositories: ['1001'] } },
  }
  await admin.send({ method: 'POST', path: '/v1/entries', body: entry })

  // The job: two variables that its workflow sets, and two that GitHub sets.
  const bundle = join(directory, 'bundle.json')
  writeFileSync(bundle, server.bundle())
  const env = {
    AIMS_SERVER: `https://127.0.0.1:${server.port}`,
    AIMS_BUNDLE: bundle,
    ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${(github.address() as AddressInfo).port}/token?api-version=2.0`,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: jobToken,
  }
  const agentSocket = join(directory, 'no-agent-here')
  using me = await connect({ env, agentSocket })
  assert.equal(me.spiffeId, 'spiffe://example.com/ci/deploy-bot')
  assert.deepEqual(me.via, { kind: 'evidence', from: 'environment', server: env.AIMS_SERVER, types: ['github'] })

  // With that it proves itself like any other agent.
  const service = createAuthenticator({
    bundles: me.bundles,
    audiences: ['https://api.example.com'],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: noObserver,
  })
  const request = { method: 'POST', target: '/deploy', audience: 'https://api.example.com', body: Buffer.alloc(0) }
  const headers = Object.entries(proofHeaders(me.wit.wit(), request, { now: Date.now() / 1000 }))
  assert.equal((await service.authenticate({ ...request, headers })).id, me.spiffeId)

  // A fork with the same name is another number; a pull request is an event that outsiders cause.
  job = { repository: 'octo/bots', repository_id: '6666', event_name: 'push' }
  await assert.rejects(connect({ env, agentSocket }), { code: 'provisioning.no_identity' })
  job = { repository: 'octo/bots', repository_id: '1001', event_name: 'pull_request_target' }
  await assert.rejects(connect({ env, agentSocket }), { code: 'attestation.not_allowed' })
  console.log(`${me.spiffeId} by ${me.via.kind === 'evidence' ? me.via.types : me.via.kind}, without a secret`)
} finally {
  admin.close()
  await server.close()
  github.close()
  rmSync(directory, { recursive: true, force: true })
}
