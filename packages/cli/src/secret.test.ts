import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openSecrets } from 'aims-agent'

const root = mkdtempSync(join(tmpdir(), 'aims-secret-'))
after(() => rmSync(root, { recursive: true }))
const [config, file] = [join(root, 'aims.yaml'), join(root, 'kept/secrets.json')]
writeFileSync(config, `trustDomain: example.com\nagent:\n  egress:\n    secretsFile: ${file}\n`)
const main = fileURLToPath(new URL('main.ts', import.meta.url))
const VALUE = 'wk_live+7Hq2/9fXb4Tz'

interface Ended {
  readonly exit: number
  readonly text: string
}

function aims(args: readonly string[], input = ''): Promise<Ended> {
  return new Promise((resolve) => {
    const flags = ['--conditions=aims:source', '--disable-warning=ExperimentalWarning', main]
    const child = execFile(
      process.execPath,
      [...flags, 'secret', ...args, '--config', config],
      (error, stdout, stderr) => resolve({ exit: Number(error?.code ?? 0), text: stdout + stderr }),
    )
    child.stdin?.end(input)
  })
}

test('a secret is put from standard input, listed by its name, and deleted; it is shown nowhere', async () => {
  const put = await aims(['put', 'weather-key'], `${VALUE}\n`)
  assert.equal(put.exit, 0, put.text)
  assert.equal(
    openSecrets({ file, keyFile: `${file}.key` })
      .get('weather-key')
      .reveal(),
    VALUE,
  )
  const listed = await aims(['list', '--json'])
  assert.deepEqual(
    JSON.parse(listed.text).secrets.map((one: { readonly name: string }) => one.name),
    ['weather-key'],
  )
  for (const { text } of [put, listed, { text: readFileSync(file, 'latin1') }]) assert.ok(!text.includes(VALUE))
  assert.equal((await aims(['delete', 'weather-key'])).exit, 0)
  const again = await aims(['delete', 'weather-key', '--json'])
  assert.deepEqual([again.exit, JSON.parse(again.text).code], [1, 'egress.secret_unknown'])
})

test('a secret that cannot be one is refused, and not repeated', async () => {
  const { exit, text } = await aims(['put', 'weather-key', '--json'], 'pa55word')
  assert.deepEqual([exit, JSON.parse(text).code], [2, 'egress.secret_invalid'])
  assert.ok(!text.includes('pa55word'))
  assert.equal(existsSync(file) && readFileSync(file, 'utf8').includes('weather-key'), false)
})
