// curl knows nothing of AIMS, holds nothing, and gets what a rule lets it have: by base URL and as a proxy.
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { createAuthenticator, createMemoryReplayStore } from 'aims/authentication'
import { noObserver } from 'aims/base'
import { protect } from 'aims/node'
import { connectWorkload } from 'aims/provisioning'
import { putSecret } from 'aims-agent'
import { tlsHost, webAuthority } from '../support/tls-host.ts'
import { startTrustDomain } from '../support/trust-domain.ts'

const run = promisify(execFile)
const found = spawnSync('sh', ['-c', 'command -v curl'], { encoding: 'utf8' }).stdout.trim()
const BOT = 'spiffe://example.com/agent/curl'
const VERIFIER = 'spiffe://example.com/service/events'
const KEY = 'wk_live+7Hq2/9fXb4Tz0LmN8sVd'
const AUDIENCE = 'https://events.example.com'

test('curl gets what the rules of the broker allow, by base URL and as a proxy, and sees no credential [provisioning.egress.01]', {
  skip: found === '' ? 'no curl on this machine' : false,
  timeout: 180_000,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'aims-curl-'))
  const files = { file: join(directory, 'secrets.json'), keyFile: join(directory, 'secrets.key') }
  putSecret(files, 'weather-key', KEY, Date.now() / 1000)
  const authorities = join(directory, 'web.pem')
  writeFileSync(authorities, webAuthority)
  const got: string[] = []
  await using weather = await tlsHost(['localhost'], (request, response) => {
    got.push(String(request.headers['x-api-key']))
    response.end(JSON.stringify({ url: request.url, headers: request.headers }))
  })
  let handler: Parameters<typeof tlsHost>[1] = (_, response) => response.writeHead(503).end()
  await using events = await tlsHost(['localhost'], (request, response) => handler(request, response))
  const to = {
    methods: ['GET', 'POST'],
    paths: ['/v1/**'],
    agents: [BOT],
    authorities,
    networks: ['127.0.0.0/8', '::1/128'],
  }
  const rules = {
    weather: {
      ...to,
      to: `https://localhost:${weather.port}`,
      credential: { kind: 'secret', secret: 'weather-key', header: 'x-api-key' },
    },
    events: { ...to, to: `https://localhost:${events.port}`, credential: { kind: 'wit', audience: AUDIENCE } },
  }
  const socket = join(directory, 'egress.sock')
  const domain = await startTrustDomain({
    'agent.egress.enabled': true,
    'agent.egress.socket': socket,
    'agent.egress.port': 0,
    'agent.egress.rules': rules,
    'agent.egress.secretsFile': files.file,
    'agent.egress.keyFile': files.keyFile,
  })
  try {
    const uid = `unix:uid:${process.getuid?.()}`
    await domain.register({ spiffeId: BOT, selectors: [uid, `unix:path:${realpathSync(found)}`] })
    await domain.register({ spiffeId: VERIFIER, selectors: [uid, `unix:path:${process.execPath}`] })
    using verifier = await connectWorkload({ address: domain.address })
    const authenticator = createAuthenticator({
      bundles: verifier.bundles,
      audiences: [AUDIENCE],
      replays: createMemoryReplayStore({ capacity: 100 }),
      observer: noObserver,
      requireBinding: { method: true, target: true, body: true },
    })
    handler = protect(authenticator, (request, response, { principal }) => {
      request.resume()
      response.end(`${principal.id} by ${principal.method}`)
    })
    const port = domain.egress?.port
    const curl = async (...args: readonly string[]): Promise<string> =>
      (await run(found, ['--silent', '--show-error', ...args])).stdout

    // By base URL, on the socket and on the port; with a body that the proof is bound to.
    const first = await curl('--unix-socket', socket, 'http://localhost/weather/v1/today?city=Bonn')
    assert.match(first, /"url":"\/v1\/today\?city=Bonn"/)
    assert.deepEqual(got, [KEY])
    assert.ok(!first.includes(KEY.slice(0, 16)), first)
    assert.equal(await curl('--data', '{"a":1}', `http://localhost:${port}/events/v1/new`), `${BOT} by wit+wpt`)
    // As a proxy, with a field that a proxy gets.
    const proxy = ['--proxy', `http://localhost:${port}`, '--proxy-user', 'a:b']
    assert.equal(await curl(...proxy, `http://localhost:${events.port}/v1/events`), `${BOT} by wit+wpt`)
    // With compression asked for, and a key of its own.
    const own = await curl(
      '--compressed',
      '--header',
      'x-api-key: mine',
      '--unix-socket',
      socket,
      'http://localhost/weather/v1/x',
    )
    assert.ok(!own.includes('mine') && got.at(-1) === KEY, own)

    // One row per way to be refused: how curl is called, and the code.
    for (const [args, code] of [
      [['--unix-socket', socket, 'http://localhost/weather/v2/today'], 'egress.path_denied'],
      [['--unix-socket', socket, '--request', 'DELETE', 'http://localhost/weather/v1/today'], 'egress.method_denied'],
      [['--unix-socket', socket, 'http://localhost/https/evil.example.com/'], 'egress.no_rule'],
      [['--unix-socket', socket, '--path-as-is', 'http://localhost/weather/v1/../../x'], 'egress.target_malformed'],
      [[...proxy, 'http://evil.example.com/'], 'egress.no_rule'],
      [['--header', 'Host: rebound.example.com', `http://localhost:${port}/weather/v1/x`], 'egress.host_refused'],
    ] as const) {
      assert.match(await curl(...args), new RegExp(`"code":"${code.replace('.', '\\.')}"`), args.join(' '))
    }
    await assert.rejects(
      curl(...proxy, `https://localhost:${events.port}/v1/events`),
      /CONNECT tunnel failed, response 403|Received HTTP code 403/,
    )
  } finally {
    await domain.close()
    rmSync(directory, { recursive: true })
  }
})
