import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { aims, at, file } from '../../../test/support/cli.ts'
import { authorities, makeReport, makeVek } from '../../../test/support/snp-pki.ts'
import { type TlsHost, tlsHost, webAuthority } from '../../../test/support/tls-host.ts'
import { makeCrl } from '../../../test/support/vendor-pki.ts'

// A caching service of one's own, on the loopback interface, with a certificate of a test authority.
const NOW = Date.UTC(2025, 5, 25) / 1000
const { ark, ask, asvk } = authorities.Milan
const vek = makeVek()
const answers: { readonly [path: string]: string | Uint8Array } = {
  '/vcek/v1/Milan/cert_chain': ask.pem + ark.pem,
  '/vlek/v1/Milan/cert_chain': asvk.pem + ark.pem,
  '/vcek/v1/Milan/crl': makeCrl({
    issuer: ark,
    scheme: 'rsa-pss-sha384',
    thisUpdate: NOW - 60,
    nextUpdate: NOW + 86_400,
    number: 1,
  }),
  [`/vcek/v1/Milan/${'c1'.repeat(64)}?blSPL=04&teeSPL=01&snpSPL=24&ucodeSPL=219`]: vek.der,
}
const scratch = mkdtempSync(join(tmpdir(), 'aims-refresh-'))
const directory = join(scratch, 'collateral')
const report = file(makeReport(vek))
let host: TlsHost
let own: readonly string[] = []

before(async () => {
  host = await tlsHost(['localhost'], (request, response) => {
    if (request.url === '/keys') response.writeHead(200, { 'content-type': 'application/json' }).end('{"keys":[{}]}')
    else if (answers[request.url ?? ''] === undefined) response.writeHead(404).end()
    else response.end(answers[request.url ?? ''])
  })
  const network = ['--network', '127.0.0.0/8', '--network', '::1/128']
  own = ['--authority', file(webAuthority), ...network, '--directory', directory]
})
after(async () => {
  await host[Symbol.asyncDispose]()
  rmSync(scratch, { recursive: true, force: true })
})

describe('aims attest refresh', () => {
  test('fetches what a report needs; then the report verifies offline with the directory', async () => {
    const service = `https://localhost:${host.port}`
    const { exit, results } = await aims(
      'attest',
      'refresh',
      '--type',
      'sev-snp',
      '--evidence',
      report,
      '--service',
      service,
      ...own,
    )
    assert.equal(exit, 0, JSON.stringify(results))
    const files = results[0]?.files as readonly { name: string; state: string }[]
    assert.deepEqual(
      files.map(({ state }) => state),
      ['new', 'new', 'new', 'new'],
    )
    assert.ok(existsSync(join(directory, 'amd/milan/cert_chain')))
    const judged = await aims(
      ...['verify', 'evidence', '--type', 'snp', '--evidence', report, '--collateral', directory],
      ...['--root', ark.fingerprint, ...at(NOW)],
    )
    assert.deepEqual([judged.exit, judged.results[0]?.ok], [0, true], JSON.stringify(judged.results))
  })

  test('fetches the keys of a cluster', async () => {
    const { exit, results } = await aims(
      ...['attest', 'refresh', '--type', 'kubernetes', '--cluster', 'prod'],
      ...['--keys-url', `https://localhost:${host.port}/keys`, ...own],
    )
    assert.equal(exit, 0, JSON.stringify(results))
    assert.equal(readFileSync(join(directory, 'kubernetes/prod/jwks.json'), 'utf8'), '{"keys":[{}]}')
  })

  test('says what could not be fetched, with exit code 3', async () => {
    const { exit, results } = await aims(
      ...['attest', 'refresh', '--type', 'kubernetes', '--cluster', 'prod'],
      ...['--keys-url', `https://localhost:${host.port}/none`, ...own],
    )
    assert.deepEqual([exit, results[0]?.ok, results[0]?.code], [3, false, 'attestation.collateral_missing'])
  })

  test('does not reach into a network that was not named', async () => {
    const count = host.requests.length
    const { exit, results } = await aims(
      ...['attest', 'refresh', '--type', 'kubernetes', '--cluster', 'prod', '--directory', directory],
      ...['--keys-url', `https://localhost:${host.port}/keys`, '--authority', file(webAuthority)],
    )
    assert.deepEqual([exit, results[0]?.code], [3, 'outbound.address_refused'])
    assert.equal(host.requests.length, count)
  })

  const wrong: readonly (readonly [string, readonly string[]])[] = [
    ['a type whose vendor publishes nothing', ['--type', 'aws-nitro']],
    ['a cluster without its address', ['--type', 'kubernetes', '--cluster', 'prod']],
    ['no product', ['--type', 'sev-snp', '--directory', join(scratch, 'empty')]],
    ['a product that there is not', ['--type', 'sev-snp', '--product', 'Rome']],
    ['an FMSPC that is none', ['--type', 'sgx', '--fmspc', 'xyz']],
    ['a tenant that is none', ['--type', 'azure-msi', '--tenant', '../x']],
    ['a service that is no origin', ['--type', 'sev-snp', '--product', 'Milan', '--service', 'http://localhost']],
  ]
  for (const [what, args] of wrong) {
    test(`is used wrongly with ${what}`, async () => {
      const { exit, results } = await aims('attest', 'refresh', '--directory', directory, ...args)
      assert.deepEqual([exit, results[0]?.code], [2, 'operation.usage'])
    })
  }
})
