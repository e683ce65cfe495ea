import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { DCAP_NOW, makeCollateral, makeDcapPki, makeQuote } from '../../../../../test/support/dcap-pki.ts'
import { bindingDigest } from '../binding.ts'
import { tdxVerifier } from '../dcap/tdx.ts'
import { attestEvidence } from '../evidence.ts'
import { collectTsmReport, type TsmFiles } from './configfs-tsm.ts'
import { tdxCollector } from './tdx.ts'

const root = mkdtempSync(join(tmpdir(), 'aims-tsm-'))
after(() => rmSync(root, { recursive: true, force: true }))

// configfs on a common directory: entries have their files at once, and a write is answered.
function guest(
  change: {
    readonly provider?: string
    readonly writesByOthers?: number
    readonly report?: string
    readonly auxblob?: boolean
  } = {},
): TsmFiles {
  const { provider = 'sev_guest', writesByOthers = 0, report = 'report of ', auxblob = true } = change
  let generation = 4
  const put = (entry: string, name: string, data: string | Uint8Array) => writeFileSync(join(entry, name), data)
  return {
    async mkdir(entry) {
      await mkdir(entry)
      put(entry, 'provider', `${provider}\n`)
      put(entry, 'generation', `${generation}\n`)
      if (auxblob) put(entry, 'auxblob', 'certificates')
    },
    async writeFile(path, data) {
      await writeFile(path, data)
      generation += 1
      put(dirname(path), 'generation', `${generation + writesByOthers}\n`)
      if (basename(path) === 'inblob') put(dirname(path), 'outblob', report === '' ? '' : `${report}${data}`)
    },
    readFile,
    exists: async (path) => existsSync(path),
    rmdir: async (entry) => rmSync(entry, { recursive: true }),
  }
}
const userData = Buffer.from('nonce and key')
const ask = (name: string, files: TsmFiles, more: object = {}) =>
  collectTsmReport({ userData, name, directory: root, files, ...more })

describe('a report of a confidential VM', () => {
  test('holds the user data, and leaves no entry behind', async () => {
    const { provider, report, auxiliary } = await ask('one', guest())
    assert.equal(provider, 'sev_guest')
    assert.equal(Buffer.from(report).toString(), 'report of nonce and key')
    assert.equal(Buffer.from(auxiliary).toString(), 'certificates')
    assert.equal(existsSync(join(root, 'one')), false)
  })

  test('may be asked for at a privilege level, and come without certificates', async () => {
    const { auxiliary } = await ask('two', guest({ auxblob: false }), { privilegeLevel: 1 })
    assert.equal(auxiliary.length, 0)
  })

  for (const [title, files] of [
    ['another program writes meanwhile', guest({ writesByOthers: 1 })],
    ['the report is empty', guest({ report: '' })],
    ['there is no answer', { ...guest(), readFile: () => Promise.reject(new Error('EIO')) }],
    ['no entry can be made', { ...guest(), mkdir: () => Promise.reject(new Error('ENOENT')) }],
  ] as const) {
    test(`is refused when ${title}, and leaves no entry behind`, async () => {
      await assert.rejects(ask('three', files), { code: 'attestation.collection_failed' })
      assert.equal(existsSync(join(root, 'three')), false)
    })
  }

  test('is asked for with 1 to 64 bytes, under a plain name', async () => {
    await assert.rejects(ask('four', guest(), { userData: Buffer.alloc(65) }), TypeError)
    await assert.rejects(ask('four', guest(), { userData: Buffer.alloc(0) }), TypeError)
    for (const name of ['../four', '..', '', 'a/b']) await assert.rejects(ask(name, guest()), TypeError)
  })
})

describe('the collector of TDX', () => {
  const challenge = { nonce: Buffer.alloc(32, 7), publicKey: Buffer.from('key') }
  const asked = { challenge, trustDomain: 'example.com', audience: '', now: DCAP_NOW }
  const options = { name: () => 'tdx', directory: root, eventLog: join(root, 'none') }

  test('sends a quote that its verifier accepts as bound', async () => {
    const pki = makeDcapPki()
    const files = guest({ provider: 'tdx_guest' })
    const quoting: TsmFiles = {
      ...files,
      readFile: async (path) => {
        const inblob = () => readFile(join(dirname(path), 'inblob'))
        return basename(path) === 'outblob'
          ? makeQuote('v4', pki, { body: { 520: await inblob() } })
          : files.readFile(path)
      },
    }
    const evidence = (await tdxCollector({ ...options, files: quoting }).collect(asked)) ?? Buffer.alloc(0)
    const verifier = tdxVerifier({ collateral: makeCollateral('tdx', pki), roots: new Set([pki.root.fingerprint]) })
    const expected = { kind: 'challenge', challenge, trustDomain: 'example.com' } as const
    const result = await attestEvidence(verifier, evidence, { now: DCAP_NOW, expected }, verifier.readPolicy({}))
    assert.equal(result.binding, 'full')
  })

  test('sends the event log where the guest has one', async () => {
    const eventLog = join(root, 'CCEL')
    writeFileSync(eventLog, 'log')
    const files = guest({ provider: 'tdx_guest', report: 'report' })
    const evidence = (await tdxCollector({ ...options, eventLog, files }).collect(asked)) ?? Buffer.alloc(0)
    const { quote, eventLog: sent } = JSON.parse(Buffer.from(evidence).toString())
    assert.equal(Buffer.from(sent, 'base64').toString(), 'log')
    assert.ok(Buffer.from(quote, 'base64').toString().startsWith('report'))
    assert.equal(bindingDigest('tdx', challenge, 'sha512').length, 64)
  })

  test('has nothing on a machine that is no TDX guest', async () => {
    assert.equal(await tdxCollector({ ...options, files: guest() }).collect(asked), undefined)
    assert.equal(await tdxCollector({ ...options, directory: join(root, 'absent') }).collect(asked), undefined)
  })
})
