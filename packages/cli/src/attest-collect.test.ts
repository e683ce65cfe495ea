import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { awsStsCollector } from 'aims/attestation'
import { aims, at, file } from '../../../test/support/cli.ts'
import { startAwsMetadata, startAzureMetadata } from '../../../test/support/fake-metadata.ts'
import { newKey } from '../../../test/support/vendor-pki.ts'

const scratch = mkdtempSync(join(tmpdir(), 'aims-collect-'))
after(() => rmSync(scratch, { recursive: true, force: true }))
let count = 0
const output = (): string => join(scratch, String(count++))
const key = file(newKey().publicKey.export({ type: 'spki', format: 'pem' }))
const nonce = '07'.repeat(32)

describe('aims attest collect', () => {
  test('writes what the metadata service hands out, for nobody else to read', async () => {
    const service = await startAwsMetadata()
    try {
      const path = output()
      const { exit, results } = await aims(
        'attest',
        'collect',
        '--type',
        'aws',
        '--endpoint',
        service.endpoint,
        '--output',
        path,
      )
      assert.deepEqual([exit, results[0]?.ok, results[0]?.type], [0, true, 'aws-iid'], JSON.stringify(results))
      assert.equal(statSync(path).size, results[0]?.bytes)
      assert.equal(statSync(path).mode & 0o777, 0o600)
      assert.match(readFileSync(path, 'latin1'), /^MII|^MIA/)
    } finally {
      service.close()
    }
  })

  test('collects for a challenge', async () => {
    const service = await startAzureMetadata()
    try {
      const args = [
        '--type',
        'azure',
        '--endpoint',
        service.endpoint,
        '--nonce',
        nonce,
        '--key',
        key,
        '--output',
        output(),
      ]
      const { exit, results } = await aims('attest', 'collect', ...args)
      assert.deepEqual([exit, results[0]?.ok], [0, true], JSON.stringify(results))
    } finally {
      service.close()
    }
  })

  test('says that this machine has none, with exit code 3', async () => {
    const { exit, results } = await aims(
      'attest',
      'collect',
      '--type',
      'aws-iid',
      '--endpoint',
      'http://127.0.0.1:1',
      '--output',
      output(),
    )
    assert.deepEqual([exit, results[0]?.code], [3, 'attestation.collection_failed'])
  })

  const wrong: readonly (readonly [string, readonly string[]])[] = [
    ['a type that is collected by nobody', ['--type', 'moon']],
    ['no challenge where one is signed', ['--type', 'tdx']],
    ['no audience where one is signed', ['--type', 'gcp']],
    ['a nonce without a key', ['--type', 'azure', '--nonce', nonce]],
    ['a nonce that is too short', ['--type', 'azure', '--nonce', '00', '--key', key]],
    ['a challenge without the trust domain of its audience', ['--type', 'gcp', '--nonce', nonce, '--key', key]],
    ['a challenge and an audience', ['--type', 'gcp', '--nonce', nonce, '--key', key, '--audience', 'x']],
    ['no region for STS', ['--type', 'sts', '--audience', 'x']],
    ['no resource for a managed identity', ['--type', 'azure-msi']],
  ]
  for (const [what, args] of wrong) {
    test(`is used wrongly with ${what}`, async () => {
      const { exit, results } = await aims('attest', 'collect', '--output', output(), ...args)
      assert.deepEqual([exit, results[0]?.code], [2, 'operation.usage'])
    })
  }
})

describe('aims verify evidence --type sts', () => {
  const now = Date.UTC(2025, 5, 1) / 1000
  const audience = 'https://example.com/attest?b=x'
  const answer = (UserId: string) => ({
    GetCallerIdentityResponse: {
      GetCallerIdentityResult: {
        Account: '123456789012',
        Arn: 'arn:aws:sts::123456789012:assumed-role/bot/i-1',
        UserId,
      },
      ResponseMetadata: { RequestId: '11111111-2222-3333-4444-555555555555' },
    },
  })
  const evidence = async (): Promise<string> => {
    const credentials = async () => ({
      accessKeyId: 'ASIAIOSFODNN7EXAMPLE',
      secretAccessKey: 'secret',
      sessionToken: 'dG9rZW4'.repeat(10),
    })
    const collector = awsStsCollector({ region: 'eu-central-1', credentials })
    const challenge = { nonce: new Uint8Array(32), publicKey: new Uint8Array() }
    return file((await collector.collect({ challenge, trustDomain: 'example.com', audience, now })) ?? new Uint8Array())
  }
  const judge = async (...more: readonly string[]) => {
    const { exit, results } = await aims(
      'verify',
      'evidence',
      '--type',
      'sts',
      '--evidence',
      await evidence(),
      ...at(now),
      ...more,
    )
    return { exit, result: results[0] ?? {} }
  }

  test('believes a recorded answer of AWS, and says so', async () => {
    const { exit, result } = await judge('--audience', audience, '--collateral', file(answer('AROAEXAMPLE:i-1')))
    assert.deepEqual([exit, result.ok, result.binding], [0, true, 'audience'], JSON.stringify(result))
    assert.match(String(result.warnings), /AWS was not asked/)
  })

  test('has nothing to say without AWS', async () => {
    const { exit, result } = await judge('--audience', audience)
    assert.deepEqual([exit, result.code], [1, 'attestation.unconfirmed'])
  })

  test('refuses a request for another challenge, and one for a region that was not named', async () => {
    const given = ['--collateral', file(answer('AROAEXAMPLE:i-1'))]
    assert.equal(
      (await judge('--audience', 'https://other.example', ...given)).result.code,
      'attestation.binding_mismatch',
    )
    const elsewhere = await judge('--audience', audience, '--region', 'us-east-1', ...given)
    assert.equal(elsewhere.result.ok, false)
  })
})
