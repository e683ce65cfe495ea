import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { mtlsAgent } from 'aims/authentication'
import { isJsonObject, type JsonValue, parseJson } from 'aims/base'
import { isExactly, parseSpiffeId, parseWorkloadSpiffeId } from 'aims/identifiers'
import { connectWorkload, type Workload } from 'aims/provisioning'
import { startTrustDomain, startWhoAmI } from '../support/trust-domain.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const envoy = process.env.AIMS_ENVOY ?? join(root, 'node_modules/.cache/envoy/envoy')
const ENVOY = 'spiffe://example.com/web'
const CALENDAR = 'spiffe://example.com/calendar'
const OTHER = 'spiffe://example.com/other'

/** The configuration of the documentation, with the addresses of this test. */
function configuration(addresses: { readonly [documented: string]: string }): string {
  const [, text = ''] = /```yaml\n(node:[\s\S]*?)```/.exec(readFileSync(join(root, 'docs/envoy.md'), 'utf8')) ?? []
  assert.notEqual(text, '')
  return Object.entries(addresses).reduce((all, [documented, actual]) => {
    assert.ok(all.includes(documented), documented)
    return all.replaceAll(documented, actual)
  }, text)
}

/** Asks until the answer is good; Envoy needs a moment to start and to get its secrets. */
async function eventually<T>(ask: () => Promise<T | undefined>, what: string): Promise<T> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const answer = await ask().catch(() => undefined)
    if (answer !== undefined) return answer
    await delay(100)
  }
  throw new Error(`never: ${what}`)
}

async function get(port: number, path = '/'): Promise<{ readonly status: number; readonly text: string }> {
  const [response] = await once(httpRequest({ host: '127.0.0.1', port, path }).end(), 'response')
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode, text }
}

/** What the program behind Envoy was told about a caller with this identity; rejects when Envoy refuses it. */
async function call(port: number, me: Workload): Promise<string> {
  const agent = mtlsAgent(me.x509, { bundles: me.bundles, peer: isExactly(parseSpiffeId(ENVOY)) })
  try {
    const headers = { 'x-forwarded-client-cert': 'URI=spiffe://example.com/forged' }
    const [response] = await once(httpsRequest({ host: '127.0.0.1', port, agent, headers }).end(), 'response')
    let text = ''
    for await (const chunk of response) text += chunk
    return text
      .split(';')
      .filter((part) => part.startsWith('URI='))
      .join()
  } finally {
    agent.destroy()
  }
}

// [provisioning.sds.01] [provisioning.sds.02] [provisioning.sds.05]
test('Envoy gets its secrets from our agent, speaks mTLS with us in both directions, and follows rotation', {
  skip: existsSync(envoy) ? false : 'no Envoy on this machine',
  timeout: 300_000,
}, async () => {
  const domain = await startTrustDomain()
  const local = createServer((request, response) => {
    response.end(String(request.headers['x-forwarded-client-cert']))
  })
  const children: { kill(): boolean }[] = []
  const services: { close(): void }[] = []
  try {
    const uid = `unix:uid:${process.getuid?.()}`
    const entry = await domain.register({ spiffeId: ENVOY, selectors: [uid, `unix:path:${envoy}`] })
    for (const spiffeId of [CALENDAR, OTHER]) {
      const selectors = [uid, `unix:path:${process.execPath}`]
      await domain.register({ spiffeId, selectors, dnsNames: ['localhost'] })
    }
    using me = await connectWorkload({ address: domain.address, spiffeId: parseWorkloadSpiffeId(CALENDAR) })
    using other = await connectWorkload({ address: domain.address, spiffeId: parseWorkloadSpiffeId(OTHER) })
    const service = await startWhoAmI(me)
    const impostor = await startWhoAmI(other)
    services.push(service, impostor)
    local.listen(0, '127.0.0.1')
    await once(local, 'listening')

    /** Starts Envoy in front of a service. */
    const start = async (
      name: string,
      servicePort: number,
    ): Promise<{ readonly admin: number; readonly outbound: number; readonly inbound: number }> => {
      const config = join(domain.directory, `${name}.yaml`)
      const adminFile = join(domain.directory, `${name}.admin`)
      const text = configuration({
        'port_value: 9901': 'port_value: 0',
        'port_value: 15001': 'port_value: 0',
        'port_value: 15006': 'port_value: 0',
        'address: 0.0.0.0': 'address: 127.0.0.1',
        'port_value: 8080': `port_value: ${(local.address() as AddressInfo).port}`,
        'port_value: 8443': `port_value: ${servicePort}`,
        '/run/aims/workload.sock': domain.address.slice('unix://'.length),
      })
      writeFileSync(config, text)
      const options = ['--use-dynamic-base-id', '--concurrency', '1', '--log-level', 'error']
      children.push(
        spawn(envoy, ['-c', config, '--admin-address-path', adminFile, ...options], {
          stdio: ['ignore', 'ignore', 'inherit'],
        }),
      )
      const admin = await eventually(async () => {
        const [, port] = /:(\d+)$/.exec(readFileSync(adminFile, 'utf8')) ?? []
        return port === undefined ? undefined : Number(port)
      }, 'the admin interface')
      const portOf = async (listener: string): Promise<number | undefined> => {
        const listeners = parseJson((await get(admin, '/listeners?format=json')).text)
        const all: JsonValue | undefined = isJsonObject(listeners) ? listeners.listener_statuses : undefined
        const found = Array.isArray(all) ? all.find((one) => isJsonObject(one) && one.name === listener) : undefined
        const [, port] = /"port_value":(\d+)/.exec(JSON.stringify(found)) ?? []
        return port === undefined || port === '0' ? undefined : Number(port)
      }
      return {
        admin,
        outbound: await eventually(() => portOf('outbound'), 'outbound'),
        inbound: await eventually(() => portOf('inbound'), 'inbound'),
      }
    }

    const proxy = await start('proxy', service.port)
    const serial = async (): Promise<string | undefined> =>
      /"serial_number":\s*"([0-9a-f]+)"/.exec(
        (await get(proxy.admin, '/certs')).text.split('"cert_chain"').at(-1) ?? '',
      )?.[1]

    // As a client: the service knows Envoy by the certificate that the agent gave it.
    const out = async (): Promise<string | undefined> => {
      const { status, text } = await get(proxy.outbound)
      return status === 200 ? text : undefined
    }
    assert.equal(await eventually(out, 'a request through Envoy'), ENVOY)
    // As a server: we know Envoy, and it knows us.
    assert.equal(await eventually(() => call(proxy.inbound, me), 'a request to Envoy'), `URI=${CALENDAR}`)

    // Who is authentic but not expected is refused, and so is who shows nothing.
    await assert.rejects(call(proxy.inbound, other))
    await assert.rejects(
      once(httpsRequest({ host: '127.0.0.1', port: proxy.inbound, rejectUnauthorized: false }).end(), 'response'),
    )
    const deceived = await start('deceived', impostor.port)
    await eventually(() => call(deceived.inbound, me), 'its secrets')
    assert.equal((await get(deceived.outbound)).status, 503)
    const failures = (await get(deceived.admin, '/stats?filter=cluster.calendar.ssl.fail_verify')).text
    assert.match(failures, /fail_verify_san: [1-9]/)

    // A rotation reaches Envoy while it is used; nothing fails meanwhile.
    const before = await serial()
    assert.ok(before !== undefined)
    await domain.update(entry, { x509Ttl: 1800 })
    let now = before
    for (let attempt = 0; now === before && attempt < 600; attempt += 1) {
      assert.deepEqual([await out(), await call(proxy.inbound, me)], [ENVOY, `URI=${CALENDAR}`])
      now = (await serial()) ?? before
      await delay(50)
    }
    assert.notEqual(now, before)
    assert.deepEqual([await out(), await call(proxy.inbound, me)], [ENVOY, `URI=${CALENDAR}`])
    const stats = (await get(proxy.admin, '/stats?filter=sds.*update_(success|rejected|failure)')).text
    assert.match(stats, /sds\.default\.update_success: [2-9]/)
    assert.doesNotMatch(stats, /update_rejected: [1-9]/)
  } finally {
    for (const child of children) child.kill()
    for (const service of services) service.close()
    local.closeAllConnections()
    local.close()
    await domain.close()
  }
})
