import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isJsonObject, type JsonObject, parseJson } from 'aims/base'
import { provingFetch } from 'aims/fetch'
import { connectWorkload } from 'aims/provisioning'
import { startEcho } from '../support/gateways.ts'
import { startTrustDomain } from '../support/trust-domain.ts'

const main = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url))
const AUDIENCE = 'https://api.example.com'
const ME = 'spiffe://example.com/agent/calendar-bot'

// [authentication.gateway.03]
test('aims gateway sidecar in front of a service: a caller, a route, a decision, records, and an end in order', {
  timeout: 240_000,
}, async () => {
  const domain = await startTrustDomain()
  const service = await startEcho()
  try {
    const selectors = [`unix:uid:${process.getuid?.()}`, `unix:path:${process.execPath}`]
    await domain.register({ spiffeId: ME, selectors })
    using me = await connectWorkload({ address: domain.address })
    const policies = join(domain.directory, 'policies')
    mkdirSync(policies)
    const permit = `permit(principal == Agent::"${ME}", action == Action::"GET", resource);`
    writeFileSync(join(policies, 'read.cedar'), `@id("read") ${permit}`)
    const config = join(domain.directory, 'gateway.yaml')
    const routes = '[{ path: /health, public: true }, { path: /api/* }]'
    writeFileSync(config, `gateway:\n  audiences: ['${AUDIENCE}']\n  listen: 127.0.0.1:0\n  routes: ${routes}\n`)
    const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']
    const options = ['--config', config, '--service', `127.0.0.1:${service.port}`, '--policies', policies]
    const child = spawn(process.execPath, [...flags, main, 'gateway', 'sidecar', ...options, '--json'], {
      env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: domain.address },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = once(child, 'exit')
    const lines: JsonObject[] = []
    const reader = createInterface({ input: child.stdout })
    reader.on('line', (line) => {
      const value = parseJson(line)
      if (isJsonObject(value)) lines.push(value)
    })
    const closed = once(reader, 'close')
    while (lines.length === 0) await once(reader, 'line')
    const [ready] = lines
    assert.deepEqual([ready?.ok, ready?.id], [true, ME])
    const url = String(ready?.endpoint)
    const fetching = provingFetch(me.wit, { audience: AUDIENCE })
    const status = async (method: string, path: string, ask: typeof fetching): Promise<number> => {
      const response = await ask(`${url}${path}`, { method })
      await response.text()
      return response.status
    }
    assert.equal(await status('GET', '/health', fetch), 200)
    assert.equal(await status('GET', '/api/events', fetch), 401)
    assert.equal(await status('GET', '/other', fetching), 403)
    assert.equal(await status('POST', '/api/events', fetching), 403)
    assert.equal(await status('GET', '/api/events', fetching), 200)
    assert.equal(Object.fromEntries(service.seen.at(-1)?.headers ?? [])['aims-caller-id'], ME)
    assert.equal(service.seen.length, 2)

    const hangUp = async (text: string): Promise<JsonObject | undefined> => {
      writeFileSync(join(policies, 'read.cedar'), text)
      const count = lines.length
      child.kill('SIGHUP')
      while (lines.length === count) await once(reader, 'line')
      return lines.pop()
    }
    const faulty = await hangUp('permit(')
    assert.deepEqual([faulty?.ok, faulty?.code], [false, 'policy.invalid'])
    assert.equal(await status('GET', '/api/events', fetching), 200)
    const changed = await hangUp('@id("nothing") forbid(principal, action, resource);')
    assert.equal(changed?.ok, true)
    assert.notEqual(changed?.policySet, ready?.policySet)
    assert.equal(await status('GET', '/api/events', fetching), 403)
    assert.equal(service.seen.length, 3)
    child.kill('SIGTERM')
    const [code] = await exited
    assert.equal(code, 0)
    await closed
    assert.deepEqual(
      lines.slice(1).map(({ type, decision, reasons }) => [type, decision, Array.isArray(reasons) ? reasons[0] : '']),
      [
        ['authentication.refused', 'deny', 'authentication.missing'],
        ['authentication.refused', 'deny', 'authorization.no_route'],
        ['authorization.decided', 'deny', 'no-policy'],
        ['authorization.decided', 'allow', 'read'],
        ['authorization.decided', 'allow', 'read'],
        ['authorization.decided', 'deny', 'forbidden'],
      ],
    )
  } finally {
    service.close()
    await domain.close()
  }
})
