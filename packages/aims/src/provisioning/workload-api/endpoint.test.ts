import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { AimsError } from '../../base/errors.ts'
import { parseEndpoint, resolveEndpoint } from './endpoint.ts'

const code =
  (expected: string): ((error: unknown) => boolean) =>
  (error) =>
    AimsError.is(error) && error.code === expected

test('a Unix socket or an IP address with a port is an address', () => {
  assert.deepEqual(parseEndpoint('unix:///run/aims/agent.sock'), { kind: 'unix', path: '/run/aims/agent.sock' })
  assert.deepEqual(parseEndpoint('tcp://127.0.0.1:8000'), { kind: 'tcp', host: '127.0.0.1', port: 8000 })
  assert.deepEqual(parseEndpoint('tcp://[::1]:65535'), { kind: 'tcp', host: '::1', port: 65_535 })
})

describe('everything else is refused', () => {
  const rows = [
    '',
    '/run/aims/agent.sock',
    'unix:/run/agent.sock',
    'unix:run/agent.sock',
    'unix://run/agent.sock',
    'unix://localhost/run/agent.sock',
    'unix:///',
    'unix:///run/',
    'unix:///run//s',
    'unix:///run/../s',
    'unix:///run/./s',
    'unix:///run/%61',
    'unix:///run/s?x',
    'unix:///run/s#x',
    'unix:///run/a b',
    'unix:///run/s\n',
    'UNIX:///run/s',
    'tcp://127.0.0.1',
    'tcp://127.0.0.1:0',
    'tcp://127.0.0.1:080',
    'tcp://127.0.0.1:65536',
    'tcp://127.0.0.1:80/',
    'tcp://127.0.0.1:80?x',
    'tcp://user@127.0.0.1:80',
    'tcp://localhost:80',
    'tcp://127.1:80',
    'tcp://256.0.0.1:80',
    'tcp://::1:80',
    'tcp://[127.0.0.1]:80',
    'tcp://[::1%eth0]:80',
    'http://127.0.0.1:80',
    'npipe:spire',
  ]
  for (const address of rows) {
    test(JSON.stringify(address), () => {
      assert.throws(() => parseEndpoint(address), code('provisioning.invalid_endpoint'))
    })
  }
})

test('any text is an address that prints back, or is refused', () => {
  const part = fc.constantFrom('unix:', 'tcp:', '//', '/', '..', 'a', '[::1]', '127.0.0.1', ':80', '%', '?', ' ')
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(part).map((parts) => parts.join('')),
      ),
      (text) => {
        try {
          const endpoint = parseEndpoint(text)
          const host = endpoint.kind === 'tcp' && endpoint.host.includes(':') ? `[${endpoint.host}]` : ''
          const back =
            endpoint.kind === 'unix' ? `unix://${endpoint.path}` : `tcp://${host || endpoint.host}:${endpoint.port}`
          assert.equal(back, text)
        } catch (error) {
          assert.ok(AimsError.is(error) && error.code === 'provisioning.invalid_endpoint')
        }
      },
    ),
  )
})

test('the address given comes before that of the environment; without either there is none', () => {
  const environment = { SPIFFE_ENDPOINT_SOCKET: 'unix:///env' }
  assert.deepEqual(resolveEndpoint('unix:///given', environment), { kind: 'unix', path: '/given' })
  assert.deepEqual(resolveEndpoint(undefined, environment), { kind: 'unix', path: '/env' })
  assert.throws(() => resolveEndpoint(undefined, {}), code('provisioning.no_endpoint'))
  assert.throws(() => resolveEndpoint(undefined, { SPIFFE_ENDPOINT_SOCKET: '' }), code('provisioning.no_endpoint'))
  assert.throws(() => resolveEndpoint('bad', environment), code('provisioning.invalid_endpoint'))
})
