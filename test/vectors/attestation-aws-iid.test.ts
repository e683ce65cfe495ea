import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AwsIidTrust } from '../../packages/aims/src/attestation/aws-iid/authenticate.ts'
import { awsIidVerifier } from '../../packages/aims/src/attestation/aws-iid/aws-iid.ts'
import { awsIidCollateral } from '../../packages/aims/src/attestation/aws-iid/collateral.ts'
import { AWS_IID_CERTIFICATES, AWS_IID_LEGACY_CERTIFICATES } from '../../packages/aims/src/attestation/aws-iid/roots.ts'
import { attestEvidence } from '../../packages/aims/src/attestation/evidence.ts'
import { parseVendorCertificates } from '../../packages/aims/src/attestation/x509/vendor-certificate.ts'
import { AimsError } from '../../packages/aims/src/base/errors.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

const at = (iso: string) => Date.parse(iso) / 1000

suite('attestation-aws-iid', 'attestation/aws', (dir) => {
  const collateral = awsIidCollateral(
    ['aws-iid-ca.json', 'aws-dsa-ca.pem'].map((name) => ({ name, bytes: readFileSync(join(dir, name)) })),
  )
  const rsa = readFileSync(join(dir, 'iid-rsa2048-uswest2.b64'))
  const dsa = readFileSync(join(dir, 'iid-pkcs7-dsa-2016.b64'))
  const flipped = Buffer.from(rsa.toString().replaceAll('\n', ''), 'base64')
  // The account number ends in another digit.
  const digit = flipped.indexOf('278576220453') + 11
  flipped[digit] = (flipped[digit] as number) ^ 1
  const trust: AwsIidTrust = { certificates: AWS_IID_CERTIFICATES, collateral }
  const legacy: AwsIidTrust = { ...trust, legacyCertificates: AWS_IID_LEGACY_CERTIFICATES }
  const row = (
    id: string,
    evidence: Uint8Array,
    code?: string,
    options: { readonly trust?: AwsIidTrust; readonly policy?: JsonObject; readonly now?: string } = {},
  ): Case => ({
    id,
    expected: code === undefined ? 'accept' : 'reject',
    ...(code === undefined ? {} : { code }),
    run: () =>
      outcomeOf(() => {
        const verifier = awsIidVerifier(options.trust ?? trust)
        const now = at(options.now ?? '2021-09-03T21:25:44Z')
        return attestEvidence(
          verifier,
          evidence,
          { now, expected: { kind: 'unchecked' } },
          verifier.readPolicy(options.policy ?? {}),
        )
      }),
  })
  // Every published certificate is one that we can read and have pinned for its region.
  const certificates = Object.entries({ ...AWS_IID_LEGACY_CERTIFICATES, ...AWS_IID_CERTIFICATES })
    .filter(([region]) => region !== '*')
    .map(
      ([region]): Case => ({
        id: `certificates of ${region}`,
        expected: 'accept',
        run: () =>
          outcomeOf(() => {
            const here = parseVendorCertificates(collateral.get(`aws/iid/${region}.pem`) ?? new Uint8Array())
            const pins = [AWS_IID_CERTIFICATES, AWS_IID_LEGACY_CERTIFICATES].flatMap((table) => table[region] ?? [])
            const read = here.map(({ fingerprint }) => fingerprint)
            if (pins.some((pin) => !read.includes(pin))) {
              throw new AimsError('attestation.key_unknown', 'a pinned certificate is not in the index')
            }
          }),
      }),
    )
  return [
    row('rsa2048', rsa),
    row('rsa2048, today', rsa, undefined, { now: '2026-11-26T00:00:00Z' }),
    row('rsa2048, within five minutes', rsa, undefined, { policy: { maxAge: 300, accounts: ['278576220453'] } }),
    row('rsa2048, after five minutes', rsa, 'attestation.stale', {
      policy: { maxAge: 300 },
      now: '2021-09-03T21:30:45Z',
    }),
    row('rsa2048, another account', rsa, 'attestation.not_allowed', { policy: { accounts: ['278576220454'] } }),
    row('rsa2048, changed', flipped, 'attestation.invalid_signature'),
    row('rsa2048, without its region', rsa, 'attestation.issuer_unknown', {
      trust: { ...trust, certificates: { 'us-east-1': AWS_IID_CERTIFICATES['us-east-1'] ?? [] } },
    }),
    row('rsa2048, under the certificate of another region', rsa, 'attestation.key_unknown', {
      trust: { ...trust, certificates: { 'us-west-2': AWS_IID_CERTIFICATES['us-east-1'] ?? [] } },
    }),
    row('dsa', dsa, 'attestation.weak_key', { now: '2016-04-08T03:05:00Z' }),
    row('dsa, with the legacy certificates', dsa, undefined, { trust: legacy, now: '2016-04-08T03:05:00Z' }),
    ...certificates,
  ]
})
