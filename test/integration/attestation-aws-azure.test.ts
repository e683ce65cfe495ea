import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  type AttestationType,
  awsIidCollector,
  awsIidVerifier,
  awsInstanceCredentials,
  awsStsCollector,
  awsStsVerifier,
  azureCollector,
  azureVerifier,
  type CollectorChallenge,
  collateralOf,
  type EvidenceCollector,
  type EvidenceVerifier,
  metadataExchange,
} from 'aims/attestation'
import { type ApiClient, apiClient } from 'aims/base'
import { verifyWit, verifyX509Svid } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { connectByEvidence } from 'aims/provisioning'
import { loadConfig, type RunningServer, startServer } from 'aims-server'
import { iidCertificate } from '../support/aws-iid.ts'
import { azureIssuer, azureRoot } from '../support/azure-document.ts'
import { type FakeMetadata, startAwsMetadata, startAzureMetadata } from '../support/fake-metadata.ts'
import { type FakeSts, startFakeSts } from '../support/fake-sts.ts'

// From the metadata services of AWS and Azure, and from AWS's token service, to verified credentials.
const trustDomain = parseTrustDomain('example.com')
const root = mkdtempSync(join(tmpdir(), 'aims-aws-azure-'))
const clock = (): number => Date.now() / 1000
// How far the clock of the Azure metadata service is ahead.
let ahead = 0
const exchange = metadataExchange()
const USER = {
  secret: 'secret-of-the-role',
  token: 'dGhlIHNlc3Npb24gdG9rZW4/+w==',
  account: '123456789012',
  arn: 'arn:aws:sts::123456789012:assumed-role/bot/i-0123456789abcdef0',
  userId: 'AROAEXAMPLE:i-0123456789abcdef0',
}
const ROLES = '/latest/meta-data/iam/security-credentials/'
const roleFiles = (secret: string) => ({
  [ROLES]: 'bot',
  [`${ROLES}bot`]: JSON.stringify({
    Code: 'Success',
    AccessKeyId: 'ASIAEXAMPLEEXAMPLE00',
    SecretAccessKey: secret,
    Token: USER.token,
  }),
})

let aws: FakeMetadata
let otherAws: FakeMetadata
let azure: FakeMetadata
let sts: FakeSts
let server: RunningServer
let api: ApiClient

before(async () => {
  aws = await startAwsMetadata(roleFiles(USER.secret))
  otherAws = await startAwsMetadata(roleFiles('another secret'))
  azure = await startAzureMetadata(() => clock() + ahead)
  sts = await startFakeSts({ ASIAEXAMPLEEXAMPLE00: USER }, clock)
  const verifiers = new Map<AttestationType, EvidenceVerifier>([
    [
      'aws-iid',
      awsIidVerifier({
        certificates: { 'eu-central-1': [iidCertificate.fingerprint] },
        collateral: collateralOf({ 'aws/iid/eu-central-1.pem': Buffer.from(iidCertificate.pem) }),
      }) as EvidenceVerifier,
    ],
    ['aws-sts', awsStsVerifier({ regions: ['eu-central-1'], exchange: sts.exchange }) as EvidenceVerifier],
    [
      'azure',
      azureVerifier({
        roots: new Set([azureRoot.fingerprint]),
        collateral: collateralOf({ 'azure/ca.pem': Buffer.from(azureIssuer.pem + azureRoot.pem) }),
      }) as EvidenceVerifier,
    ],
  ])
  const overrides = { trustDomain, dataDirectory: join(root, 'data'), 'listen.port': 0 }
  server = await startServer(await loadConfig({ env: {}, overrides }), { clock, verifiers, log: () => undefined })
  api = apiClient({ socketPath: server.socketPath })
  const entry = (id: string, selectors: readonly string[], attestation: object) => {
    const spiffeId = `spiffe://example.com/agent/${id}`
    const body = { id, spiffeId, selectors, owner: 'test', purpose: 'test', attestation }
    return api.send({ method: 'POST', path: '/v1/entries', body })
  }
  await entry('instance', ['aws_iid:instance:id:i-0123456789abcdef0'], { 'aws-iid': { accounts: ['123456789012'] } })
  await entry('role', ['aws:iam:arn:arn:aws:iam::123456789012:role/bot'], { 'aws-sts': {}, assurance: 'moderate' })
  await entry('vm', ['azure_imds:vm-id:bd8e7443-0000-41f3-b949-8baf4fd1c573'], { azure: {}, assurance: 'moderate' })
})
after(async () => {
  api?.close()
  await server?.close()
  for (const service of [aws, otherAws, azure, sts]) service?.close()
  rmSync(root, { recursive: true })
})

const instance = () => awsIidCollector({ exchange, endpoint: aws.endpoint })
const role = (metadata = aws) =>
  awsStsCollector({
    credentials: () => awsInstanceCredentials({ exchange, endpoint: metadata.endpoint }),
    region: 'eu-central-1',
  })
const machine = () => azureCollector({ exchange, endpoint: azure.endpoint })

const connect = (collector: EvidenceCollector) =>
  connectByEvidence({
    trustDomain,
    server: `https://127.0.0.1:${server.port}`,
    bundle: Buffer.from(server.bundle()),
    collectors: [collector],
    clock,
    readyTimeout: 10_000,
  })
const refused = (collector: EvidenceCollector, code: string): Promise<void> =>
  assert.rejects(connect(collector), { code })

async function issued(collector: EvidenceCollector, name: string): Promise<string | undefined> {
  using me = await connect(collector)
  assert.equal(me.spiffeId, `spiffe://example.com/agent/${name}`)
  const now = clock()
  const svid = verifyX509Svid(me.x509.x509Svid().certificates, { bundles: me.bundles, now })
  const wit = verifyWit(me.wit.wit().token, { bundles: me.bundles, profile: 'wimse', now, svid: true })
  assert.deepEqual([svid.subject, wit.subject], [me.spiffeId, me.spiffeId])
  assert.deepEqual(wit.attested?.types, [collector.type])
  return wit.attested?.assurance
}

// The same challenge for a key of theirs.
function theirs(challenge: CollectorChallenge): CollectorChallenge {
  return {
    ...challenge,
    challenge: { ...challenge.challenge, publicKey: Buffer.from('their key') },
    audience: 'https://x',
  }
}

// What somebody has who overheard the evidence of another challenge.
function overheard(collector: EvidenceCollector): EvidenceCollector {
  return {
    type: collector.type,
    collect: (challenge) => collector.collect(theirs(challenge)),
  }
}

describe('an EC2 instance', () => {
  test('gets credentials for its identity document, once: another key with the same document is refused (N23)', async () => {
    assert.equal(await issued(instance(), 'instance'), 'low')
    await refused(instance(), 'attestation.taken')
  })

  test('gets the credentials of its role for a signed request that AWS answers', async () => {
    assert.equal(await issued(role(), 'role'), 'moderate')
    assert.ok(sts.requests.some(({ headers }) => String(headers['x-aims-binding']).startsWith('https://example.com/')))
  })

  test('whose request AWS does not confirm is refused', async () => {
    await refused(role(otherAws), 'attestation.invalid_signature')
  })

  test('whose request was signed for another challenge is refused (N26)', async () => {
    const before = sts.requests.length
    await refused(overheard(role()), 'attestation.binding_mismatch')
    assert.equal(sts.requests.length, before)
  })
})

describe('an Azure machine', () => {
  test('gets credentials for an attested document with the nonce of the challenge', async () => {
    assert.equal(await issued(machine(), 'vm'), 'moderate')
  })

  test('whose document was made for another challenge is refused', async () => {
    await refused(overheard(machine()), 'attestation.binding_mismatch')
  })

  test('whose document has ended is refused', async () => {
    ahead = -22_000
    await refused(machine(), 'attestation.expired')
    ahead = 0
  })
})
