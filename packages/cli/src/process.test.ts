import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { WorkloadKey } from 'aims/base'
import { buildCa, buildSvid, NOW as X509_NOW } from '../../../test/support/certificates.ts'
import { at, file } from '../../../test/support/cli.ts'
import { forge } from '../../../test/support/tokens.ts'

// Each judging command as its own process, its first input on standard input.

const NOW = 1_700_000_000
const sub = 'spiffe://example.com/agent/bot'
const authority = WorkloadKey.generate()
const agent = WorkloadKey.generate()
const jwks = JSON.stringify({ keys: [{ ...authority.publicKey.export({ format: 'jwk' }), kid: 'i' }] })
const bundle = file(jwks)
const cnf = { jwk: { ...agent.publicKey.export({ format: 'jwk' }), alg: 'ES256' } }
const wit = forge({ typ: 'wit+jwt', alg: 'ES256', kid: 'i' }, { sub, exp: NOW + 60, cnf }, authority)
const wth = createHash('sha256').update(wit).digest('base64url')
const aud = 'https://api.example.com/v1'
const proof = forge({ typ: 'wpt+jwt', alg: 'ES256' }, { aud, exp: NOW + 60, jti: '0123456789abcdef', wth }, agent)
const jwt = forge({ alg: 'ES256', kid: 'i' }, { sub, aud: ['a'], exp: NOW + 60 }, authority)
const message = `GET /v1 HTTP/1.1\r\nAuthorization: WPT ${proof}\r\nWorkload-Identity-Token: ${wit}\r\n\r\n`
const ca = buildCa({ subject: 'root' })
const svid = buildSvid({ issuer: ca })
const domain = ['--trust-domain', 'example.com']

/** The command line, what is on standard input, and the code for input that is not there. */
const COMMANDS: readonly (readonly [args: readonly string[], input: string | Uint8Array, code: string])[] = [
  [['id', 'check', '-'], `${sub}\n`, ''],
  [['verify', 'wit', '--token', '-', '--bundle', bundle, ...domain, ...at(NOW)], `${wit}\n`, 'credential.malformed'],
  [
    ['verify', 'wpt', '--proof', '-', '--wit', file(wit), '--bundle', bundle, '--audience', aud, ...domain, ...at(NOW)],
    `${proof}\r\n`,
    'proof.malformed',
  ],
  [
    ['verify', 'jwt-svid', '--token', '-', '--bundle', bundle, '--audience', 'a', ...at(NOW)],
    jwt,
    'credential.malformed',
  ],
  [
    ['verify', 'x509-svid', '--chain', '-', '--bundle', file(ca.der), ...domain, ...at(X509_NOW)],
    svid.der,
    'x509.no_certificate',
  ],
  [['verify', 'bundle', '--bundle', '-', ...domain], jwks, 'bundle.malformed'],
  [
    ['verify', 'request', '--message', '-', '--bundle', bundle, '--audience', aud, ...domain, ...at(NOW)],
    message,
    'http.malformed',
  ],
]

const main = fileURLToPath(new URL('main.ts', import.meta.url))
const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']

for (const [args, input, code] of COMMANDS) {
  const name = args.slice(0, 2).join(' ')

  test(`aims ${name} - as a process prints one object and exits with 0`, () => {
    const { status, lines, stderr } = runProcess(args, input)
    assert.deepEqual([status, lines.length, stderr], [0, 1, ''])
    assert.equal(JSON.parse(lines[0] ?? '').ok, true)
  })

  test(`aims ${name} - as a process says what nothing is`, () => {
    const { status, lines, stderr } = runProcess(args, '')
    assert.equal(stderr, '')
    if (code === '') assert.deepEqual([status, lines], [0, []])
    else assert.deepEqual([status, lines.length, JSON.parse(lines[0] ?? '').code], [1, 1, code])
  })
}

test('standard input may come late, and in pieces', async () => {
  // A shell in between makes it the kind of pipe that does not wait for its writer.
  const command = [process.execPath, ...flags, main, 'id', 'check', '-', '--json'].join(' ')
  const child = spawn('sh', ['-c', `(sleep 0.4; echo ${sub}; sleep 0.2; echo spiffe://a) | ${command}`])
  const printed = await text(child.stdout)
  assert.deepEqual(
    printed
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line).ok),
    [true, true],
  )
})

test('input without end is refused', { skip: process.platform !== 'linux' && 'needs /dev/zero' }, () => {
  const { status, lines } = runProcess(['verify', 'bundle', '--bundle', '/dev/zero', ...domain], '')
  assert.deepEqual([status, JSON.parse(lines[0] ?? '').code], [3, 'operation.input_too_large'])
})

test('standard input is read once', () => {
  const { status, lines } = runProcess(['verify', 'wit', '--token', '-', '--bundle', '-', ...domain], wit)
  assert.deepEqual([status, JSON.parse(lines[0] ?? '').code], [2, 'operation.usage'])
})

test('id check takes the options of every judging command', () => {
  const judge = (...options: readonly string[]): unknown => runProcess(['id', 'check', sub, ...options], '').status
  assert.equal(judge(...at(NOW), '--profile', 'aims-00'), 0)
  assert.equal(judge('--now', 'today'), 2)
  assert.equal(judge('--profile', 'none'), 2)
})

test('wrong use and files that are not there have their own exit codes', () => {
  for (const [args, exit, code] of [
    [['verify', 'wit'], 2, 'operation.usage'],
    [['verify', 'bundle', '--bundle', '/nonexistent', ...domain], 3, 'operation.input_unreadable'],
    [['verify', 'bundle', '--bundle', '/', ...domain], 3, 'operation.input_unreadable'],
  ] as const) {
    const { status, lines, stderr } = runProcess(args, '')
    assert.deepEqual([status, lines.length, stderr, JSON.parse(lines[0] ?? '').code], [exit, 1, '', code])
  }
})

function runProcess(
  args: readonly string[],
  input: string | Uint8Array,
): { readonly status: number | null; readonly lines: readonly string[]; readonly stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, main, ...args, '--json'], {
    input,
    encoding: 'utf8',
  })
  return { status, lines: stdout.split('\n').slice(0, -1), stderr }
}
