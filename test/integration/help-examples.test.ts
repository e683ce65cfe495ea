// Every example of the help of operators' commands, as somebody pastes it who knows nothing but the help.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { apiClient, isJsonObject, parseJsonObject } from 'aims/base'
import { type RunningAgent, startAgent } from 'aims-agent'
import { loadConfig, type RunningServer, startServer } from 'aims-server'
import { run } from '../../packages/cli/src/cli.ts'
import { output } from '../../packages/cli/src/output.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-help-'))
const here = join(root, 'here')
const [backups, kek] = [join(root, 'backups'), join(root, 'kek')]
let server: RunningServer
let partner: RunningServer
let agent: RunningAgent

/** What the reader of an example has in its place. */
const mine = (example: string): string =>
  example
    .replaceAll('/srv/backups', backups)
    .replaceAll('/etc/aims/kek', kek)
    .replace('https://aims.partner.example:8443', `https://127.0.0.1:${partner.port}`)
    // This partner is on the same machine.
    .replace('federate add', 'federate add --network 127.0.0.0/8')
    .replace(/ +#.*$/, '')

before(async () => {
  for (const directory of [here, join(here, 'agents'), join(here, 'bin'), backups]) mkdirSync(directory)
  const program = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url))
  const command = `exec '${process.execPath}' --conditions=aims:source --disable-warning=ExperimentalWarning '${program}' "$@"`
  writeFileSync(join(here, 'bin/aims'), `#!/bin/sh\n${command}\n`)
  chmodSync(join(here, 'bin/aims'), 0o755)
  for (const [name, uid] of [
    ['calendar-bot', 1001],
    ['travel-bot', 1002],
  ] as const) {
    const entry = { spiffeId: `spiffe://example.com/agent/${name}`, selectors: [`unix:uid:${uid}`] }
    writeFileSync(
      join(here, `agents/${name}.yaml`),
      JSON.stringify({ ...entry, owner: 'team', purpose: 'keeps things' }),
    )
  }
  const start = async (trustDomain: string, more: object = {}) => {
    const overrides = { trustDomain, dataDirectory: join(root, trustDomain), 'listen.port': 0, ...more }
    return startServer(await loadConfig({ env: {}, overrides }), { log: () => undefined })
  }
  server = await start('example.com', {
    keyEncryptionKeyFile: kek,
    'keys.publishAhead': 1,
    'agents.attestation': { 'join-token': {} },
  })
  partner = await start('partner.example')
  process.env.AIMS_API_SOCKET = server.socketPath
  process.chdir(here)
  writeFileSync(join(here, 'partner.json'), partner.bundle())
  writeFileSync(join(root, 'bundle.json'), server.bundle())
  const restored = { trustDomain: 'example.com', dataDirectory: join(root, 'restored'), keyEncryptionKeyFile: kek }
  // Another machine than that of the server, which remembers what came after the backup.
  writeFileSync(join(here, 'aims.yaml'), JSON.stringify({ ...restored, rollback: { file: join(root, 'elsewhere') } }))

  const api = apiClient({ socketPath: server.socketPath })
  const answer = await api.send({ method: 'POST', path: '/v1/join-tokens', body: { name: 'edge', for: 'agent' } })
  api.close()
  const settings = {
    trustDomain: 'example.com',
    'agent.socket': join(root, 'w.sock'),
    'agent.socketMode': 0o600,
    'agent.serverSocket': '/nonexistent',
    'agent.server': `https://127.0.0.1:${server.port}`,
    'agent.bundle': join(root, 'bundle.json'),
  }
  const token = isJsonObject(answer) ? String(answer.token) : ''
  agent = await startAgent(settings, { log: () => undefined, env: { AIMS_JOIN_TOKEN: token } })
})
after(async () => {
  process.chdir(tmpdir())
  await agent.close()
  await server.close()
  await partner.close()
  rmSync(root, { recursive: true })
})

// A process for each of so many commands costs a second; only what the shell does needs the shell.
const isPlain = (command: string): boolean => /^aims [\w ./:=@-]+$/.test(command)

async function paste(command: string): Promise<{ readonly exit: number; readonly out: string; readonly err: string }> {
  if (!isPlain(command)) return shell(command)
  return { ...(await inProcess(...command.split(/ +/).slice(1))), err: '' }
}

async function shell(command: string): Promise<{ readonly exit: number; readonly out: string; readonly err: string }> {
  const env = { ...process.env, PATH: `${join(here, 'bin')}:${process.env.PATH ?? ''}` }
  const child = spawn('bash', ['-c', command], { cwd: here, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, err, exit] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? -1))),
  ])
  return { exit, out, err }
}

interface Help {
  readonly help: string
  readonly examples: readonly string[]
}

async function inProcess(...args: readonly string[]): Promise<{ readonly exit: number; readonly out: string }> {
  let out = ''
  const { write } = output
  output.write = (part) => {
    out += part
  }
  try {
    const exit = await run(args)
    return { exit, out }
  } finally {
    output.write = write
    process.exitCode = 0
  }
}

async function helpOf(command: string): Promise<Help> {
  const { exit, out: help } = await inProcess(...command.split(' '), '--help')
  assert.equal(exit, 0)
  return { help, examples: [...help.matchAll(/^ {2}\$ (.+)$/gm)].map(([, line = '']) => line) }
}

const publication = (): Promise<void> => sleep(1500)
const nothing = async (): Promise<void> => undefined

/** In the order in which they are used, and what happens between. */
const COMMANDS: readonly (readonly [command: string, before: () => Promise<void>])[] = [
  ['entry create', nothing],
  ['entry plan', nothing],
  ['entry apply', nothing],
  ['authority list', nothing],
  ['authority prepare', nothing],
  ['authority activate', publication],
  ['authority taint', nothing],
  ['authority revoke', nothing],
  ['bundle federate add', nothing],
  ['bundle federate list', nothing],
  ['bundle federate show', nothing],
  ['bundle federate refresh', nothing],
  ['bundle federate remove', nothing],
  ['agent list', nothing],
  ['agent ban', nothing],
  ['agent evict', nothing],
  ['agent retire', nothing],
  ['backup create', nothing],
  ['backup verify', nothing],
  ['restore', nothing],
]

for (const [command, first] of COMMANDS) {
  test(`the examples of aims ${command} --help do what they say`, async () => {
    const { help, examples } = await helpOf(command)
    assert.ok(examples.length > 0)
    assert.match(help, / --json /)
    assert.match(help, /^Exit codes: 0 done, 1 refused/m)
    await first()
    for (const example of examples) {
      // A plan that was carried out is none any more.
      if (/--plan/.test(example)) continue
      const { exit, out, err } = await paste(`${mine(example)} --json`)
      assert.deepEqual([exit, err, parseJsonObject(out).ok], [0, '', true], `${example}\n${out}`)
    }
  })
}

test('what a group of commands shows is what its commands show', async () => {
  const shown = new Set<string>()
  for (const [command] of COMMANDS) for (const one of (await helpOf(command)).examples) shown.add(mine(one))
  for (const group of ['authority', 'bundle federate', 'backup', 'agent']) {
    const { examples } = await helpOf(group)
    assert.ok(examples.length > 0, group)
    for (const example of examples) {
      // An agent runs until it is stopped.
      if (/aims agent (?:--broker )?--config/.test(example)) continue
      assert.ok(shown.has(mine(example)), `${group}: ${example}`)
    }
  }
})

test('the plan that was kept is applied as it stands, and once', async () => {
  writeFileSync(
    join(here, 'agents/late.yaml'),
    JSON.stringify({ spiffeId: 'spiffe://example.com/service/late', selectors: ['unix:uid:1003'], owner: 'team' }),
  )
  rmSync(join(here, 'agents/calendar-bot.yaml'))
  assert.equal((await paste('aims entry plan agents/ --out plan.json')).exit, 0)
  const applied = await paste('aims entry apply --plan plan.json')
  assert.deepEqual([applied.exit, applied.out], [0, 'applied: 1\n'])
  assert.equal((await paste('aims entry apply --plan plan.json')).exit, 1)
})

test('steps that would have to guess are refused with what to do', async () => {
  const rows: readonly (readonly [string, number, string, RegExp])[] = [
    [
      'authority taint --purpose x509-ca',
      2,
      'operation.usage',
      /no authority of x509-ca is retired: prepare and activate/,
    ],
    [
      'authority revoke --purpose jwt',
      2,
      'operation.usage',
      /no authority of jwt is tainted: taint the retired one first/,
    ],
    ['authority activate --purpose wit', 1, 'provisioning.authority_not_found', /prepare one first/],
    ['authority prepare --purpose tls', 2, 'operation.usage', /x509-ca, jwt, wit/],
    ['agent ban join-token:name:edge', 2, 'operation.usage', /no agent fits.*aims agent list/],
    ['agent evict 0123456789abcdef0123456789abcdef', 1, 'provisioning.agent_not_found', /./],
    ['agent retire spiffe://example.com/agent/nobody', 1, 'provisioning.entry_not_found', /./],
    ['entry apply --prune', 2, 'operation.usage', /give files, or --plan/],
    ['bundle federate remove nobody.example', 1, 'provisioning.federation_not_found', /./],
    ['backup create', 2, 'operation.usage', /--to/],
    ['restore --config=aims.yaml', 2, 'operation.usage', /--from/],
  ]
  for (const [command, code, name, message] of rows) {
    const { exit, out } = await inProcess(...command.split(' '), '--json')
    const said = parseJsonObject(out)
    assert.deepEqual([exit, said.code], [code, name], command)
    assert.match(String(said.message), message, command)
  }
})
