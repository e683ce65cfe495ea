import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { connectWorkload } from 'aims/provisioning'
import { startTrustDomain, startWhoAmI } from '../support/trust-domain.ts'

const main = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url))
const has = (command: string): boolean => spawnSync(command, ['--version']).error === undefined
const run = promisify(execFile)
const ME = 'spiffe://example.com/interop/me'

test('openssl accepts the files that aims svid fetch writes, and curl reaches an mTLS service with them', {
  skip: has('openssl') && has('curl') ? false : 'no openssl or curl on this machine',
  timeout: 120_000,
}, async () => {
  const domain = await startTrustDomain()
  try {
    const selectors = [`unix:uid:${process.getuid?.()}`, `unix:path:${process.execPath}`]
    await domain.register({ spiffeId: ME, selectors, dnsNames: ['localhost'] })
    using me = await connectWorkload({ address: domain.address })
    const service = await startWhoAmI(me)
    const files = join(domain.directory, 'files')
    const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']
    await run(process.execPath, [
      ...flags,
      main,
      'svid',
      'fetch',
      '--socket',
      domain.address,
      '--write',
      files,
      '--json',
    ])
    const [svid, key, bundle] = ['svid.pem', 'key.pem', 'bundle.pem'].map((name) => join(files, name)) as [
      string,
      string,
      string,
    ]
    assert.equal(statSync(key).mode & 0o777, 0o600)

    const text = await run('openssl', ['x509', '-in', svid, '-noout', '-text'])
    assert.match(text.stdout, new RegExp(`URI:${ME}`))
    const ca = await run('openssl', ['x509', '-in', bundle, '-noout', '-text'])
    assert.match(ca.stdout, /CA:TRUE/)
    const verified = await run('openssl', ['verify', '-x509_strict', '-CAfile', bundle, svid])
    assert.match(verified.stdout, /: OK/)

    const url = `https://localhost:${service.port}/`
    const resolved = ['--silent', '--resolve', `localhost:${service.port}:127.0.0.1`, '--cacert', bundle]
    const reached = await run('curl', [...resolved, '--cert', svid, '--key', key, url])
    assert.equal(reached.stdout, ME)
    // Without a certificate there is no answer at all.
    await assert.rejects(run('curl', [...resolved, url]))
    service.close()
  } finally {
    await domain.close()
  }
})
