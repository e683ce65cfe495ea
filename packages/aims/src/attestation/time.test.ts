import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { IID_NOW, iidCertificate, iidMessage } from '../../../../test/support/aws-iid.ts'
import { challenged, jwks, PLATFORMS, platformKey, platformToken } from '../../../../test/support/platform-tokens.ts'
import { makeCertificate, makeCrl, makeRoot } from '../../../../test/support/vendor-pki.ts'
import { verificationKey, WorkloadKey } from '../base/keys.ts'
import { awsIidVerifier } from './aws-iid/aws-iid.ts'
import { awsStsVerifier } from './aws-sts/aws-sts.ts'
import { collateralOf } from './collateral.ts'
import { collectAwsSts } from './collect/aws-sts.ts'
import { createJoinToken, joinTokenVerifier } from './join-token/join-token.ts'
import { signManifest, verifyManifest } from './manifest/manifest.ts'
import { parseRevocationList, verifyRevocationList } from './x509/revocation.ts'
import { parseVendorCertificate } from './x509/vendor-certificate.ts'
import { validateVendorChain } from './x509/vendor-chain.ts'

// Each is called by itself, without what looks at the time before it on the usual way.
describe('a time that is none is a mistake of the program, and lets nothing pass that has ended', () => {
  const root = makeRoot('Root')
  const leaf = parseVendorCertificate(makeCertificate({ subject: 'Leaf', issuer: root }).der)
  const issuer = parseVendorCertificate(root.der)
  const launcher = WorkloadKey.generate()
  const credentials = { accessKeyId: 'ASIAEXAMPLEEXAMPLE00', secretAccessKey: 'secret' }
  const request = Buffer.from(
    collectAwsSts({ credentials, region: 'eu-central-1', binding: 'https://example.com/attest?b=x', now: IID_NOW }),
  )
  const rows: readonly (readonly [string, (now: number) => unknown])[] = [
    [
      'a chain of certificates',
      (now) => validateVendorChain({ leaf, candidates: [issuer], roots: new Set([root.fingerprint]), now }),
    ],
    ['a revocation list', (now) => verifyRevocationList(parseRevocationList(makeCrl({ issuer: root })), issuer, now)],
    [
      'a manifest',
      async (now) =>
        verifyManifest(await signManifest({ tools: [], mcpServers: [] }, launcher, IID_NOW), {
          launchers: [verificationKey(launcher.publicKey)],
          now,
        }),
    ],
    [
      'an identity document of AWS',
      (now) =>
        awsIidVerifier({
          certificates: { 'eu-central-1': [iidCertificate.fingerprint] },
          collateral: collateralOf({ 'aws/iid/eu-central-1.pem': Buffer.from(iidCertificate.pem) }),
        }).authenticate(iidMessage(), { now, expected: challenged }),
    ],
    [
      'a signed request',
      (now) =>
        awsStsVerifier({
          regions: ['eu-central-1'],
          exchange: () => Promise.reject(new Error('nobody is asked')),
        }).authenticate(request, { now, expected: challenged }),
    ],
    [
      'a join token',
      (now) =>
        joinTokenVerifier({ consume: () => ({ name: 'old', use: 'workload', expiresAt: 1 }) }).authenticate(
          Buffer.from(createJoinToken()),
          { now, expected: challenged },
        ),
    ],
    ...PLATFORMS.map((platform): readonly [string, (now: number) => unknown] => [
      `a token of ${platform.type}`,
      (now) =>
        platform
          .verifier(collateralOf({ [platform.collateral]: jwks(platformKey) }))
          .authenticate(platformToken(platform), { now, expected: challenged }),
    ]),
  ]
  for (const [what, verify] of rows) {
    for (const now of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      test(`${what}: ${now}`, async () => {
        await assert.rejects(async () => verify(now), TypeError)
      })
    }
  }
})
