// `aims bundle` against two real servers that federate on this machine.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { isJsonObject, type JsonObject, parseJsonObject } from 'aims/base'
import { parseBundleMap } from 'aims/credentials'
import { loadConfig, startServer } from 'aims-server'
import { run } from './cli.ts'
import { output } from './output.ts'

const directory = mkdtempSync(join(tmpdir(), 'aims-federate-'))

async function start(trustDomain: string) {
  const overrides = { trustDomain, dataDirectory: join(directory, trustDomain), 'listen.port': 0 }
  return startServer(await loadConfig({ env: {}, overrides }), { log: () => undefined })
}

const own = await start('example.com')
const partner = await start('partner.example')
after(async () => {
  await own.close()
  await partner.close()
  rmSync(directory, { recursive: true })
})
const first = join(directory, 'first.json')
writeFileSync(first, partner.bundle())

async function bundle(...args: readonly string[]): Promise<{ readonly exit: number; readonly text: string }> {
  const { write } = output
  let text = ''
  output.write = (part) => {
    text += part
  }
  try {
    return { exit: await run(['bundle', ...args, '--socket', own.socketPath]), text }
  } finally {
    output.write = write
  }
}
const json = async (...args: readonly string[]): Promise<JsonObject & { readonly exit: number }> => {
  const { exit, text } = await bundle(...args, '--json')
  return { ...parseJsonObject(text), exit }
}
const add = (url: string): readonly string[] => [
  'federate',
  'add',
  'partner.example',
  '--url',
  url,
  '--profile',
  'https_spiffe',
  '--endpoint-spiffe-id',
  'spiffe://partner.example/aims/server',
  '--bundle',
  first,
]

test('a relationship is added, shown, refreshed and removed', async () => {
  const url = `https://127.0.0.1:${partner.port}/v1/bundle?include=wit-svid`
  const refused = await json(...add(url))
  assert.deepEqual([refused.exit, refused.ok, refused.code], [3, false, 'outbound.address_refused'])
  assert.match(String(refused.hint), /--network/)
  const asText = await bundle(...add(url))
  assert.match(asText.text, /^refused\n {2}code: outbound\.address_refused\n {2}hint: .*\n {2}kept: the relationship/)
  assert.match(asText.text, /nextFetchAt: 20\d\d-\d\d-\d\dT/)
  const elsewhere = await json(...add('https://127.0.0.1:1/'), '--network', '127.0.0.0/8')
  assert.deepEqual([elsewhere.exit, elsewhere.code, typeof elsewhere.hint], [3, 'outbound.unreachable', 'string'])
  const added = await json(...add(url), '--network', '127.0.0.0/8')
  assert.deepEqual([added.exit, added.ok, added.lastError], [0, true, null])
  const list = await bundle('federate', 'list')
  assert.match(list.text, /^partner\.example {2}https_spiffe {2}sequence \d+ {2}https:/)
  assert.equal((await json('federate', 'show', 'partner.example')).origin, 'api')
  assert.equal((await json('federate', 'refresh', 'partner.example')).ok, true)

  const map = await bundle('export')
  assert.deepEqual([...parseBundleMap(map.text).keys()], ['example.com', 'partner.example'])
  const file = join(directory, 'map.json')
  writeFileSync(file, map.text)
  const imported = await json('import', file, '--trust-domain', 'partner.example')
  assert.deepEqual(imported.imported, ['partner.example'])
  assert.equal((await bundle('import', file, '--trust-domain', 'other.example')).exit, 2)
  assert.equal((await bundle('import', file, '--trust-domain', 'example.com')).exit, 1)

  const wits = (document: JsonObject): number =>
    Array.isArray(document.keys)
      ? document.keys.filter((key) => isJsonObject(key) && key.use === 'wit-svid').length
      : -1
  const shown = parseJsonObject((await bundle('show', '--trust-domain', 'partner.example')).text)
  assert.equal(wits(shown), 0)
  assert.equal(
    wits(parseJsonObject((await bundle('show', '--trust-domain', 'partner.example', '--include-wit')).text)),
    1,
  )
  assert.match((await bundle('show', '--format', 'pem')).text, /^-----BEGIN CERTIFICATE-----\n/)
  const jwks = parseJsonObject((await bundle('show', '--format', 'jwks')).text)
  assert.deepEqual(Array.isArray(jwks.keys) && jwks.keys.length, 2)
  assert.equal((await bundle('show', '--format', 'der')).exit, 2)

  assert.equal((await json('federate', 'remove', 'partner.example')).removed, 'partner.example')
  const gone = await json('federate', 'show', 'partner.example')
  assert.deepEqual([gone.exit, gone.code], [1, 'provisioning.federation_not_found'])
})

test('a relationship that lacks a part is wrong use', async () => {
  const bare = await json(
    'federate',
    'add',
    'partner.example',
    '--url',
    'https://a.example/',
    '--profile',
    'https_spiffe',
  )
  assert.deepEqual([bare.exit, bare.code], [2, 'provisioning.federation_malformed'])
  assert.equal((await bundle('federate', 'add', 'partner.example')).exit, 2)
  const missing = await json(
    'federate',
    'add',
    'a.example',
    '--url',
    'https://a.example/',
    '--profile',
    'https_web',
    '--bundle',
    'none',
  )
  assert.deepEqual([missing.exit, missing.code], [3, 'operation.input_unreadable'])
})

test('aims doctor tells of a partner whose bundle cannot be fetched', async () => {
  const config = join(directory, 'aims.json')
  writeFileSync(config, JSON.stringify({ trustDomain: 'example.com', dataDirectory: join(directory, 'example.com') }))
  const examine = async () => {
    const { write } = output
    let text = ''
    output.write = (part) => {
      text += part
    }
    try {
      await run(['doctor', '--config', config, '--json'])
    } finally {
      output.write = write
      process.exitCode = 0
    }
    const { findings } = parseJsonObject(text)
    const found = (Array.isArray(findings) ? findings : []).filter(isJsonObject)
    return found.filter(({ check }) => check === 'federation with partner.example').map(({ ok }) => ok)
  }
  assert.deepEqual(await examine(), [])
  const url = `https://127.0.0.1:${partner.port}/v1/bundle`
  await json(...add(url), '--network', '127.0.0.0/8')
  assert.deepEqual(await examine(), [true])
  await json(...add(url))
  assert.deepEqual(await examine(), [false])
  await json('federate', 'remove', 'partner.example')
})
