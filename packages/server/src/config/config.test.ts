import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { AimsError } from 'aims/base'
import fc from 'fast-check'
import { loadConfig } from './config.ts'

const dir = mkdtempSync(join(tmpdir(), 'aims-config-'))
after(() => rmSync(dir, { recursive: true }))

function write(text: string, name = 'aims.yaml'): string {
  const file = join(dir, name)
  writeFileSync(file, text)
  return file
}

test('a file with a trust domain alone is completed with defaults, also those that follow from others', async () => {
  const config = await loadConfig({ file: write('trustDomain: example.com\n'), env: {} })
  assert.equal(config.trustDomain, 'example.com')
  assert.equal(config['listen.port'], 8443)
  assert.equal(config['api.socket'], '/var/lib/aims/api.sock')
  assert.equal(config['agent.serverSocket'], '/var/lib/aims/api.sock')
  assert.equal(config['log.origin'], 'example.com/aims-log')
  assert.deepEqual(config.profiles, [])
})

test('a JSON file, with durations, lists and profiles', async () => {
  const text = JSON.stringify({
    trustDomain: 'example.com',
    dataDirectory: 'data',
    listen: { port: 0, dnsNames: ['aims.example.com'] },
    ttl: { x509: { default: '5m' } },
    profiles: { 'aims-00': '2027-03-31' },
  })
  const config = await loadConfig({ file: write(text, 'aims.json'), env: {} })
  assert.equal(config.dataDirectory, join(dir, 'data'))
  assert.deepEqual(config['listen.dnsNames'], ['aims.example.com'])
  assert.equal(config['ttl.x509.default'], 300)
  assert.deepEqual(config.profiles, [{ profile: 'aims-00', until: Date.UTC(2027, 3, 1) / 1000 }])
})

test('the command line beats the environment, which beats the file', async () => {
  const file = write('trustDomain: example.com\nlisten: {port: 1, host: 127.0.0.2}\nbundle: {refreshHint: 10}\n')
  const env = { AIMS_LISTEN_PORT: '2', AIMS_LISTEN_HOST: '127.0.0.3', AIMS_API_ADMIN_UIDS: '7, 8', AIMS_OTHER: 'x' }
  const config = await loadConfig({ file, env, overrides: { 'listen.port': 3 } })
  assert.equal(config['listen.port'], 3)
  assert.equal(config['listen.host'], '127.0.0.3')
  assert.equal(config['bundle.refreshHint'], 10)
  assert.deepEqual(config['api.adminUids'], [7, 8])
  assert.equal((await loadConfig({ file, env: { AIMS_AGENT_SOCKET_MODE: '0666' } }))['agent.socketMode'], 0o666)
})

// One row per way to be refused: the file, and what the message must name.
for (const [what, text, message] of [
  ['an unknown key', 'trustDomain: example.com\nlisen:\n  port: 1\n', 'aims.yaml:2:1: "lisen": no such key'],
  [
    'an unknown nested key',
    'trustDomain: example.com\nlisten:\n  prot: 1\n',
    'aims.yaml:3:3: "listen.prot": no such key',
  ],
  ['a key given twice', 'trustDomain: a.example\ntrustDomain: b.example\n', 'aims.yaml:2:1: Map keys must be unique'],
  ['a port in words', 'trustDomain: a\nlisten: {port: https}\n', 'aims.yaml:2:10: "listen.port": an integer'],
  ['a port out of range', 'trustDomain: a\nlisten: {port: 65536}\n', '"listen.port": an integer from 0 to 65535'],
  ['a value where a map belongs', 'trustDomain: a\nlisten: 8443\n', 'aims.yaml:2:1: "listen": a map is needed'],
  ['a map where a text belongs', 'trustDomain: {a: b}\n', 'aims.yaml:1:1: "trustDomain"'],
  ['no trust domain', 'listen: {port: 1}\n', '"trustDomain": a value is needed, in the file or as AIMS_TRUST_DOMAIN'],
  ['an empty file', '', '"trustDomain": a value is needed, in the file or as AIMS_TRUST_DOMAIN'],
  [
    'a mode without quotes',
    'trustDomain: a\nagent: {socketMode: 0660}\n',
    '"agent.socketMode": an octal mode in quotes',
  ],
  ['a mode with a set-user-id bit', 'trustDomain: a\nagent: {socketMode: "4660"}\n', '"agent.socketMode": an octal'],
  ['a list', '- a\n', 'aims.yaml:1:1: a map of settings is needed'],
  ['a trust domain in upper case', 'trustDomain: Example.com\n', 'aims.yaml:1:1: "trustDomain": the trust domain has'],
  ['an alias', 'trustDomain: &a a\nissuer: *a\n', 'anchors and aliases'],
  ['a tag', 'trustDomain: !!binary YQ==\n', 'tags are not used here'],
  ['broken YAML', 'trustDomain: "a\n', 'aims.yaml:'],
  ['a duration without a unit we know', 'trustDomain: a\nttl: {jwt: {max: 1w}}\n', '"ttl.jwt.max": a duration'],
  [
    'a default above its cap',
    'trustDomain: a\nttl: {jwt: {default: 2h}}\n',
    '"ttl.jwt.default": more than ttl.jwt.max',
  ],
  ['keys that end before what they sign', 'trustDomain: a\nkeys: {lifetime: 1d}\n', '"keys.lifetime": less than four'],
  [
    'servers below one that is below SPIRE',
    'trustDomain: a\nkeys: {downstreamTtl: 1d, upstream: {spire: {}}}\n',
    '"keys.downstreamTtl": no servers below one',
  ],
  ['the default profile as an extra one', 'trustDomain: a\nprofiles: {wimse: 2030-01-01}\n', '"profiles": profiles to'],
  ['a profile without a last day', 'trustDomain: a\nprofiles: {aims-00: yes}\n', '"profiles": the last day of aims-00'],
  ['a last day that does not exist', 'trustDomain: a\nprofiles: {aims-00: 2030-13-01}\n', '"profiles": the last day'],
] as const) {
  test(`a configuration with ${what} is refused, and the message says where`, async () => {
    await assert.rejects(loadConfig({ file: write(text), env: {} }), (error: unknown) => {
      assert.ok(AimsError.is(error))
      assert.equal(error.code, 'operation.config_invalid')
      assert.ok(error.message.includes(message), `${error.message} should include ${message}`)
      return true
    })
  })
}

test('a wrong variable and a wrong override are refused by name', async () => {
  await assert.rejects(loadConfig({ env: { AIMS_TRUST_DOMAIN: 'a', AIMS_LISTEN_PORT: 'x' } }), {
    code: 'operation.config_invalid',
    message: /^AIMS_LISTEN_PORT: "listen.port": an integer/,
  })
  await assert.rejects(loadConfig({ env: {}, overrides: { trustDomian: 'a' } }), {
    code: 'operation.config_invalid',
    message: /"trustDomian": no such key/,
  })
})

test('a file that is not there cannot be read', async () => {
  await assert.rejects(loadConfig({ file: join(dir, 'absent.yaml'), env: {} }), { code: 'operation.config_unreadable' })
})

test('any text is a configuration or is refused with a code of operation', async () => {
  const line = fc.oneof(fc.string(), fc.constantFrom('trustDomain: a', 'listen:', '  port: 1', '- x', '&a b', '{'))
  await fc.assert(
    fc.asyncProperty(fc.array(line), async (lines) => {
      try {
        const config = await loadConfig({ file: write(lines.join('\n'), 'any.yaml'), env: {} })
        assert.equal(typeof config.trustDomain, 'string')
      } catch (error) {
        if (!AimsError.is(error)) throw error
        assert.equal(error.code, 'operation.config_invalid')
      }
    }),
    { numRuns: 200 },
  )
})
