import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isJsonObject, type JsonObject, parseJson } from 'aims/base'

const root = mkdtempSync(join(tmpdir(), 'aims-reloading-'))
after(() => rmSync(root, { recursive: true, force: true }))
const main = fileURLToPath(new URL('main.ts', import.meta.url))
const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning']

/** A server as a process, and what it has printed. */
async function serve(name: string, policies: string | undefined) {
  const child = spawn(process.execPath, [...flags, main, 'server', '--json'], {
    env: {
      ...process.env,
      AIMS_TRUST_DOMAIN: 'example.com',
      AIMS_DATA_DIRECTORY: join(root, name),
      AIMS_LISTEN_PORT: '0',
      ...(policies === undefined ? {} : { AIMS_POLICIES_DIRECTORY: policies }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  after(() => child.kill('SIGKILL'))
  const lines: JsonObject[] = []
  const reader = createInterface({ input: child.stdout })
  reader.on('line', (line) => {
    const value = parseJson(line)
    if (isJsonObject(value)) lines.push(value)
  })
  while (lines.length === 0) await once(reader, 'line')
  return {
    async hangUp(): Promise<JsonObject | undefined> {
      const count = lines.length
      child.kill('SIGHUP')
      while (lines.length === count) await once(reader, 'line')
      return lines.at(-1)
    },
    async stop(): Promise<unknown> {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      return (await exited)[0]
    },
  }
}

test('a server reads its policies again on SIGHUP, says what is in force, and goes on either way', {
  timeout: 240_000,
}, async () => {
  const policies = join(root, 'policies')
  mkdirSync(policies)
  const write = (text: string): void => writeFileSync(join(policies, 'a.cedar'), text)
  write('@id("all") permit(principal, action, resource);')
  const { hangUp, stop } = await serve('with', policies)
  const same = await hangUp()
  assert.match(String(same?.policySet), /^sha256:/)
  write('permit(')
  const faulty = await hangUp()
  assert.deepEqual([faulty?.ok, faulty?.code], [false, 'policy.invalid'])
  write('@id("none") forbid(principal, action, resource);')
  const changed = await hangUp()
  assert.equal(changed?.ok, true)
  assert.notEqual(changed?.policySet, same?.policySet)
  assert.equal(await stop(), 0)
})

test('SIGHUP does not end a server without policies', { timeout: 240_000 }, async () => {
  const { hangUp, stop } = await serve('without', undefined)
  const answer = await hangUp()
  assert.deepEqual([answer?.ok, answer?.policySet], [true, 'none'])
  assert.equal(await stop(), 0)
})
