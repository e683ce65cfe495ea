import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { inspect } from 'node:util'
import { IID_NOW, iidCertificate } from '../../../../../test/support/aws-iid.ts'
import { AZURE_NOW, azureIssuer, azureRoot } from '../../../../../test/support/azure-document.ts'
import { type FakeMetadata, startAwsMetadata, startAzureMetadata } from '../../../../../test/support/fake-metadata.ts'
import { startFakeSts } from '../../../../../test/support/fake-sts.ts'
import { awsIidVerifier } from '../aws-iid/aws-iid.ts'
import { awsIidCollateral } from '../aws-iid/collateral.ts'
import { awsStsVerifier } from '../aws-sts/aws-sts.ts'
import { azureCollateral, azureVerifier } from '../azure/azure.ts'
import { bindingAudience, type Challenge } from '../binding.ts'
import { attestEvidence } from '../evidence.ts'
import { awsIidCollector, awsInstanceCredentials } from './aws-imds.ts'
import { awsStsCollector } from './aws-sts.ts'
import { azureCollector } from './azure-imds.ts'
import { metadataExchange } from './metadata.ts'

const exchange = metadataExchange()
const challenge: Challenge = { nonce: Buffer.alloc(32, 7), publicKey: Buffer.from('a key') }
const expected = { kind: 'challenge', challenge, trustDomain: 'example.com' } as const
const asked = {
  challenge,
  trustDomain: 'example.com',
  audience: bindingAudience('aws-sts', challenge, 'example.com'),
  now: IID_NOW,
}
const present = (evidence: Uint8Array | undefined) => evidence ?? assert.fail('no evidence')
const failed = { code: 'attestation.collection_failed' }

describe('the metadata service of EC2', () => {
  const ROLES = '/latest/meta-data/iam/security-credentials/'
  const role = {
    Code: 'Success',
    AccessKeyId: 'ASIAEXAMPLEEXAMPLE00',
    SecretAccessKey: 'the/secret',
    Token: 'dGhlIHNlc3Npb24gdG9rZW4=',
  }
  let service: FakeMetadata
  before(async () => {
    service = await startAwsMetadata({ [ROLES]: 'Agent', [`${ROLES}Agent`]: JSON.stringify(role) })
  })
  after(() => service.close())

  test('gives an identity document that verifies', async () => {
    const verifier = awsIidVerifier({
      certificates: { 'eu-central-1': [iidCertificate.fingerprint] },
      collateral: awsIidCollateral([{ name: 'any.pem', bytes: Buffer.from(iidCertificate.pem) }]),
    })
    const evidence = present(await awsIidCollector({ exchange, endpoint: service.endpoint }).collect(asked))
    const context = { now: IID_NOW, expected: { kind: 'unchecked' } } as const
    const result = await attestEvidence(
      verifier,
      evidence,
      context,
      verifier.readPolicy({ accounts: ['123456789012'] }),
    )
    assert.equal(result.attributes['instance-id'], 'i-0123456789abcdef0')
  })

  test('gives credentials whose signature AWS answers, and that show no secret', async () => {
    const credentials = await awsInstanceCredentials({ exchange, endpoint: service.endpoint })
    for (const shown of [
      JSON.stringify(credentials),
      inspect(credentials, { showHidden: true }),
      JSON.stringify({ ...credentials }),
    ]) {
      assert.doesNotMatch(shown, /secret\b.*the\/secret|dGhl/)
    }
    const user = { secret: role.SecretAccessKey, token: role.Token, account: '123456789012' }
    const arn = 'arn:aws:sts::123456789012:assumed-role/Agent/i-0123456789abcdef0'
    const sts = await startFakeSts({ [role.AccessKeyId]: { ...user, arn, userId: 'AROAEXAMPLE:i-0' } }, () => IID_NOW)
    try {
      const verifier = awsStsVerifier({ regions: ['us-east-1', 'cn-north-1'], exchange: sts.exchange })
      for (const [region, expires] of [
        ['us-east-1', 60],
        ['us-east-1', undefined],
      ] as const) {
        const collector = awsStsCollector({
          credentials: () => awsInstanceCredentials({ exchange, endpoint: service.endpoint }),
          region,
          ...(expires === undefined ? {} : { expires }),
        })
        const evidence = present(await collector.collect(asked))
        const result = await attestEvidence(verifier, evidence, { now: IID_NOW, expected }, verifier.readPolicy({}))
        assert.equal(result.selectors[1], 'aws:iam:arn:arn:aws:iam::123456789012:role/Agent')
      }
    } finally {
      sts.close()
    }
  })

  test('without a role, a token or an answer is refused', async () => {
    const bare = await startAwsMetadata()
    try {
      await assert.rejects(awsInstanceCredentials({ exchange, endpoint: bare.endpoint }), failed)
    } finally {
      bare.close()
    }
    // Nobody answers: not on AWS.
    assert.equal(await awsIidCollector({ exchange, endpoint: bare.endpoint }).collect(asked), undefined)
    assert.equal(await awsInstanceCredentials({ exchange, endpoint: bare.endpoint }), undefined)
    const credentials = async () => undefined
    assert.equal(await awsStsCollector({ credentials, region: 'eu-central-1' }).collect(asked), undefined)
    const broken = await startAwsMetadata({ [ROLES]: 'Agent', [`${ROLES}Agent`]: '{"Code":"Failed"}' })
    try {
      await assert.rejects(awsInstanceCredentials({ exchange, endpoint: broken.endpoint }), failed)
    } finally {
      broken.close()
    }
  })
})

describe('the metadata service of Azure', () => {
  test('gives an attested document that is bound to the challenge', async () => {
    const service = await startAzureMetadata()
    try {
      const evidence = present(await azureCollector({ exchange, endpoint: service.endpoint }).collect(asked))
      const verifier = azureVerifier({
        roots: new Set([azureRoot.fingerprint]),
        collateral: azureCollateral([{ name: 'ca.pem', bytes: Buffer.from(azureIssuer.pem + azureRoot.pem) }]),
      })
      const result = await attestEvidence(verifier, evidence, { now: AZURE_NOW, expected }, verifier.readPolicy({}))
      assert.deepEqual([result.binding, result.freshness], ['audience', 'nonce'])
    } finally {
      service.close()
    }
  })
})

describe('the exchange with a metadata service', () => {
  const answering = async (handler: Parameters<typeof createServer>[1], run: (endpoint: string) => Promise<void>) => {
    const server = createServer(handler as never)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  }

  const nothing = async (through: typeof exchange, endpoint: string) =>
    assert.equal(await awsIidCollector({ exchange: through, endpoint }).collect(asked), undefined)

  test('follows no redirect', () =>
    answering(
      (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      (endpoint) => assert.rejects(awsIidCollector({ exchange, endpoint }).collect(asked), failed),
    ))

  test('ends an answer that is larger than 64 KiB', () =>
    answering(
      (_, response) => response.end(Buffer.alloc(100_000)),
      (endpoint) => nothing(exchange, endpoint),
    ))

  test('does not wait longer than its timeout', () =>
    answering(
      () => undefined,
      (endpoint) => nothing(metadataExchange(50), endpoint),
    ))
})
