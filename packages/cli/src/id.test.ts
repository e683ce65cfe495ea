import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))

function aims(args: readonly string[], input = ''): { status: number | null; stdout: string; stderr: string } {
  const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']
  return spawnSync(process.execPath, [...flags, main, ...args], { input, encoding: 'utf8' })
}

test('aims id check judges the three examples of the overview page', () => {
  const ids = ['agent/calendar-bot', 'service/auth'].map((path) => `spiffe://example.com/${path}`)
  const { status, stdout } = aims(['id', 'check', '--json', ...ids, 'spiffe://prod.example.com/workload/api-server'])
  assert.equal(status, 0)
  assert.deepEqual(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).trustDomain),
    ['example.com', 'example.com', 'prod.example.com'],
  )
})

test('aims id check gives one result per line of standard input, and exit code 1 when one is refused', () => {
  const { status, stdout } = aims(['id', 'check', '--json'], 'spiffe://a/b\n\nspiffe://a/b \nspiffe://A/b\n')
  assert.equal(status, 1)
  const codes = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).code ?? 'ok')
  assert.deepEqual(codes, ['ok', 'identifier.empty', 'identifier.bad_path_char', 'identifier.bad_trust_domain_char'])
})

test('aims --version and --help end well, an unknown command does not', () => {
  assert.match(aims(['--version']).stdout, /^\d+\.\d+\.\d+\n$/)
  assert.equal(aims(['--help']).status, 0)
  assert.equal(aims(['id', 'check', '--help']).status, 0)
  const { status, stderr, stdout } = aims(['nonsense'])
  assert.deepEqual({ status, stdout }, { status: 2, stdout: '' })
  assert.match(stderr, /unknown command/)
})
