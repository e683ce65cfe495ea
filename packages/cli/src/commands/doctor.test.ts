import assert from 'node:assert/strict'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { apiClient } from 'aims/base'
import { loadConfig, startServer } from 'aims-server'
import { aims } from '../../../../test/support/cli.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-doctor-'))
after(() => rmSync(root, { recursive: true }))

test('policies that everybody may write are found out, the directory and each file', async () => {
  const directory = join(root, 'policies')
  const policy = join(directory, 'one.cedar')
  mkdirSync(directory)
  writeFileSync(policy, 'permit (principal, action, resource);')
  const config = join(root, 'aims.json')
  const settings = { trustDomain: 'example.com', dataDirectory: join(root, 'data'), policies: { directory } }
  writeFileSync(config, JSON.stringify(settings))
  const found = async () => {
    const [line] = (await aims('doctor', `--config=${config}`)).results
    const findings = line?.findings as readonly {
      readonly check: string
      readonly ok: boolean
      readonly fix?: string
    }[]
    return findings.find(({ check }) => check === 'policies')
  }
  assert.equal((await found())?.ok, true)
  for (const [path, open, closed] of [
    [directory, 0o777, 0o755],
    [policy, 0o666, 0o644],
  ] as const) {
    chmodSync(path, open)
    const finding = await found()
    assert.deepEqual([finding?.ok, finding?.fix], [false, `chmod o-w ${path}`])
    chmodSync(path, closed)
  }
  assert.equal((await found())?.ok, true)
})

test('a key manager is asked for its keys, and what keeps it from answering is named', async () => {
  const config = join(root, 'keys.json')
  const examine = async (manager: object) => {
    const settings = { trustDomain: 'example.com', dataDirectory: join(root, 'data'), keys: { manager } }
    writeFileSync(config, JSON.stringify(settings))
    const [line] = (await aims('doctor', `--config=${config}`)).results
    const findings = line?.findings as readonly { check: string; ok: boolean; found: string }[]
    return findings.find(({ check }) => check === 'key manager')
  }
  assert.equal((await examine({}))?.ok, true)
  for (const [manager, code] of [
    [{ vault: {} }, 'operation.config_invalid'],
    [{ 'aws-kms': {} }, 'operation.config_invalid'],
    [
      { pkcs11: { module: '/nonexistent/module.so', token: 't', pinFile: '/nonexistent/pin' } },
      'operation.key_manager_unavailable',
    ],
  ] as const) {
    const finding = await examine(manager)
    assert.equal(finding?.ok, false)
    assert.match(finding?.found ?? '', new RegExp(code))
  }
})

test('the rollback memory is looked at as a start would, and is changed by nobody', async () => {
  const [dataDirectory, config, file] = [join(root, 'remembering'), join(root, 'rollback.json'), join(root, 'memory')]
  const overrides = { trustDomain: 'example.com', dataDirectory, 'listen.port': 0, 'rollback.file': file }
  const found = async (change: object = {}) => {
    const settings = { trustDomain: 'example.com', dataDirectory, rollback: { file }, ...change }
    writeFileSync(config, JSON.stringify(settings))
    const [line] = (await aims('doctor', `--config=${config}`)).results
    const findings = line?.findings as readonly {
      readonly check: string
      readonly ok: boolean
      readonly found: string
    }[]
    const finding = findings.find(({ check }) => check === 'rollback memory')
    return [finding?.ok, finding?.found.replace(/^.*\[|\]$/g, '')]
  }
  assert.deepEqual((await found())[0], true)
  const server = await startServer(await loadConfig({ env: {}, overrides }), { log: () => undefined })
  assert.equal((await found())[0], true)
  await server.close()
  const memory = readFileSync(file)
  assert.equal((await found())[0], true)
  assert.deepEqual(readFileSync(file), memory)

  const rows: readonly (readonly [() => void, string])[] = [
    [() => rmSync(file), 'operation.rollback_memory_missing'],
    [() => writeFileSync(file, '{}\nx\n'), 'operation.rollback_memory_invalid'],
    [() => writeFileSync(file, ''), 'operation.rollback_memory_invalid'],
  ]
  for (const [spoil, code] of rows) {
    spoil()
    assert.deepEqual(await found(), [false, code])
    writeFileSync(file, memory)
  }
  chmodSync(join(dataDirectory, 'kek'), 0o644)
  assert.deepEqual(await found(), [false, 'operation.key_file_mode'])
  chmodSync(join(dataDirectory, 'kek'), 0o600)
  assert.deepEqual(await found({ trustDomain: 'other.example' }), [false, 'operation.rollback_memory_invalid'])
  const older = join(root, 'older')
  cpSync(dataDirectory, older, { recursive: true })
  const again = await startServer(await loadConfig({ env: {}, overrides }), { log: () => undefined })
  const api = apiClient({ socketPath: again.socketPath })
  const entry = { spiffeId: 'spiffe://example.com/service/one', selectors: ['unix:uid:1'], owner: 'me' }
  await api.send({ method: 'POST', path: '/v1/entries', body: entry })
  api.close()
  await again.close()
  assert.deepEqual(await found({ dataDirectory: older }), [false, 'operation.store_rolled_back'])
})

test('types of evidence are examined as the server does, with the collateral they cannot do without', async () => {
  const config = join(root, 'evidence.json')
  const collateral = join(root, 'collateral')
  const examine = async (attestation: object) => {
    const settings = { trustDomain: 'example.com', dataDirectory: join(root, 'data'), attestation }
    writeFileSync(config, JSON.stringify(settings))
    const [line] = (await aims('doctor', `--config=${config}`)).results
    const findings = line?.findings as readonly {
      readonly check: string
      readonly ok: boolean
      readonly found: string
      readonly fix?: string
    }[]
    return findings.filter(({ check }) => check.startsWith('evidence'))
  }
  assert.deepEqual(await examine({}), [])
  const [unknown, ...none] = await examine({ githb: {} })
  assert.deepEqual([unknown?.ok, none], [false, []])
  assert.match(String(unknown?.found), /"attestation.githb": no such type/)

  const [lacking, nitro] = await examine({ github: { collateral }, 'aws-nitro': {} })
  assert.deepEqual([lacking?.check, lacking?.ok, nitro?.ok], ['evidence of github', false, true])
  assert.match(String(lacking?.found), /collateral\/github\/jwks.json is not there/)
  assert.equal(lacking?.fix, `aims attest refresh --type github --directory ${collateral}`)
  mkdirSync(join(collateral, 'github'), { recursive: true })
  writeFileSync(join(collateral, 'github', 'jwks.json'), '{"keys":[]}')
  assert.equal((await examine({ github: { collateral } }))[0]?.ok, true)
})

test('on the host of a remote agent it looks at bundle, evidence and server, and uses nothing up', async () => {
  const root = mkdtempSync(join(tmpdir(), 'aims-doctor-remote-'))
  const server = await startServer(
    await loadConfig({
      env: {},
      overrides: { trustDomain: 'example.com', dataDirectory: join(root, 'data'), 'listen.port': 0 },
    }),
  )
  after(async () => {
    await server.close()
    rmSync(root, { recursive: true })
  })
  const file = (name: string, content: string, mode = 0o600): string => {
    writeFileSync(join(root, name), content, { mode })
    chmodSync(join(root, name), mode)
    return join(root, name)
  }
  const agent = {
    server: `https://127.0.0.1:${server.port}`,
    bundle: file('bundle.json', server.bundle()),
    joinTokenFile: file('token', 'aims_join_x'),
    socket: join(root, 'workload.sock'),
  }
  const examine = async (change: object) => {
    const settings = { trustDomain: 'example.com', agent: { ...agent, ...change } }
    const config = file('agent.json', JSON.stringify(settings))
    const [line] = (await aims('doctor', `--config=${config}`)).results
    const findings = line?.findings as readonly { readonly check: string; readonly ok: boolean }[]
    return findings.filter(({ ok }) => !ok).map(({ check }) => check)
  }
  assert.deepEqual(await examine({}), [])
  assert.deepEqual(await examine({ joinTokenFile: join(root, 'no') }), ['join token'])
  assert.deepEqual(await examine({ joinTokenFile: file('open', 'x', 0o644) }), ['join token'])
  assert.deepEqual(await examine({ attestation: 'x509-pop' }), ['machine certificate', 'machine key'])
  assert.deepEqual(await examine({ server: 'https://127.0.0.1:1' }), ['server'])
  assert.deepEqual(await examine({ bundle: file('empty.json', '{"keys":[]}') }), [
    'X.509 authority in the bundle',
    'server',
  ])
  assert.deepEqual(await examine({ bundle: file('bad.json', 'none') }), ['bundle', 'server'])
})

test('what the first start makes is no trouble, and a directory of policies that is not there is', async () => {
  const config = join(root, 'fresh.json')
  const settings = {
    trustDomain: 'example.com',
    dataDirectory: join(root, 'fresh', 'data'),
    policies: { directory: join(root, 'fresh', 'policies') },
    agent: { socket: join(root, 'fresh', 'run', 'w.sock') },
  }
  writeFileSync(config, JSON.stringify(settings))
  const [line] = (await aims('doctor', `--config=${config}`)).results
  const findings = line?.findings as readonly { readonly check: string; readonly ok: boolean; readonly fix?: string }[]
  const troubles = findings.filter(({ ok }) => !ok).map(({ check, fix }) => [check, fix?.split(',')[0]])
  assert.deepEqual(troubles, [
    ['policies', `mkdir ${settings.policies.directory}`],
    ['server', 'start it with aims server'],
  ])
})
