import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { mtlsAgent } from 'aims/authentication'
import { isExactly, parseSpiffeId } from 'aims/identifiers'
import { connectWorkload } from 'aims/provisioning'
import { adminClient } from 'aims-server'
import { startTrustDomain, startWhoAmI, type TestTrustDomain } from '../support/trust-domain.ts'

const program = fileURLToPath(new URL('../../interop/go-spiffe', import.meta.url))
const hasGo = spawnSync('go', ['version']).status === 0
const GO = 'spiffe://example.com/interop/go'
const TYPESCRIPT = 'spiffe://example.com/interop/typescript'

const SKIP = { skip: hasGo ? false : 'no Go on this machine', timeout: 300_000 }

test('go-spiffe fetches, validates, sees a rotation, and speaks mTLS with us in both directions', SKIP, async () => {
  await convince(await startTrustDomain())
})

test('it does the same where the CA is below another server, in its constraints', SKIP, async () => {
  const above = await startTrustDomain({ 'keys.lifetime': '14d', 'keys.downstreamTtl': '7d' })
  try {
    const uid = `unix:uid:${process.getuid?.()}`
    await above.register({ spiffeId: 'spiffe://example.com/servers/east', selectors: [uid], downstream: true })
    const upstream = { aims: { server: `https://127.0.0.1:${above.port}`, workload: above.address } }
    await convince(await startTrustDomain({ 'keys.lifetime': '4d', 'keys.upstream': upstream }))
  } finally {
    await above.close()
  }
})

async function convince(domain: TestTrustDomain): Promise<void> {
  const binary = join(domain.directory, 'go-spiffe')
  const built = spawnSync('go', ['build', '-o', binary, '.'], { cwd: program, encoding: 'utf8' })
  assert.equal(built.status, 0, built.stderr)
  try {
    const uid = `unix:uid:${process.getuid?.()}`
    const entry = await domain.register({ spiffeId: GO, selectors: [uid, `unix:path:${binary}`] })
    await domain.register({
      spiffeId: TYPESCRIPT,
      selectors: [uid, `unix:path:${process.execPath}`],
      dnsNames: ['localhost'],
    })
    using me = await connectWorkload({ address: domain.address })
    const service = await startWhoAmI(me)
    const steps = new Map<string, { readonly [name: string]: unknown }>()
    const child = spawn(
      binary,
      ['-socket', domain.address, '-service', `https://127.0.0.1:${service.port}/`, '-peer', TYPESCRIPT],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const ended = once(child, 'close')
    for await (const line of createInterface({ input: child.stdout })) {
      const step = JSON.parse(line)
      steps.set(step.step, step)
      if (step.step === 'watching') await domain.update(entry, { x509Ttl: 1800 })
      if (step.step === 'serving') {
        const agent = mtlsAgent(me.x509, { bundles: me.bundles, peer: isExactly(parseSpiffeId(GO)) })
        const [response] = await once(request({ host: '127.0.0.1', port: step.port, agent }).end(), 'response')
        let text = ''
        for await (const chunk of response) text += chunk
        assert.equal(text, 'hello from go-spiffe')
        agent.destroy()
      }
    }
    const [status] = await ended
    service.close()
    assert.equal(status, 0, JSON.stringify([...steps.values()]))
    assert.equal(steps.get('x509-svid')?.id, GO)
    assert.equal(steps.get('x509-bundles')?.bundles, 1)
    assert.equal(steps.get('jwt-svid')?.id, GO)
    assert.deepEqual(steps.get('wit-svid'), { step: 'wit-svid', id: GO, hasKey: true })
    assert.notEqual(steps.get('rotated')?.serial, steps.get('watching')?.serial)
    assert.equal(steps.get('mtls-client')?.caller, GO)
    assert.equal(steps.get('mtls-server')?.caller, TYPESCRIPT)
  } finally {
    await domain.close()
  }
}

test('go-spiffe follows our bundle endpoint over a rotation, and we fetch from its handler', {
  skip: hasGo ? false : 'no Go on this machine',
  timeout: 300_000,
}, async () => {
  const domain = await startTrustDomain()
  const binary = join(domain.directory, 'go-spiffe')
  const built = spawnSync('go', ['build', '-o', binary, '.'], { cwd: program, encoding: 'utf8' })
  assert.equal(built.status, 0, built.stderr)
  let child: ChildProcessByStdio<Writable, Readable, null> | undefined
  try {
    const admin = adminClient(domain.api)
    const bootstrap = join(domain.directory, 'bundle.json')
    writeFileSync(bootstrap, JSON.stringify(await admin.bundle()))
    const endpoint = `https://127.0.0.1:${domain.port}/v1/bundle?include=wit-svid`
    child = spawn(binary, ['-endpoint', endpoint, '-bootstrap', bootstrap], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const ended = once(child, 'close')
    const steps = new Map<string, { readonly [name: string]: unknown }>()
    for await (const line of createInterface({ input: child.stdout })) {
      const step = JSON.parse(line)
      steps.set(step.step, step)
      if (step.step === 'bundle') await admin.rotate('jwt')
      if (step.step !== 'serving-bundle') continue
      const relationship = {
        url: `https://127.0.0.1:${step.port}/`,
        profile: 'https_spiffe',
        endpointSpiffeId: 'spiffe://partner.example/bundles',
        bundle: JSON.stringify(step.bundle),
        networks: ['127.0.0.0/8'],
      } as const
      await admin.setRelationship('partner.example', relationship)
      const status = await admin.refreshRelationship('partner.example')
      assert.equal(status.lastError, null)
      assert.deepEqual([status.sequence, { ...status.keys }], ['1', { x509: 1, jwt: 1, wit: 0 }])
      // And its endpoint is not taken for another.
      const endpointSpiffeId = 'spiffe://partner.example/someone/else'
      await admin.setRelationship('partner.example', { ...relationship, endpointSpiffeId })
      assert.equal((await admin.refreshRelationship('partner.example')).lastError, 'outbound.tls_failed')
      child.stdin.end()
    }
    const [status] = await ended
    assert.equal(status, 0, JSON.stringify([...steps.values()]))
    const before = steps.get('bundle')
    const after = steps.get('bundle-rotated')
    assert.deepEqual([before?.x509, before?.jwt, before?.wit, before?.hint], [1, 1, 1, 60])
    assert.equal(after?.jwt, 2)
    assert.ok(Number(after?.sequence) > Number(before?.sequence))
  } finally {
    child?.kill()
    await domain.close()
  }
})
