import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { awsNitroVerifier } from '../../packages/aims/src/attestation/aws-nitro/aws-nitro.ts'
import { AWS_NITRO_ROOTS } from '../../packages/aims/src/attestation/aws-nitro/roots.ts'
import { attestEvidence } from '../../packages/aims/src/attestation/evidence.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

const verifier = awsNitroVerifier({ roots: AWS_NITRO_ROOTS })
const at = (iso: string) => Date.parse(iso) / 1000

suite('attestation-aws-nitro', 'attestation/aws-nitro', (dir) => {
  const valid = readFileSync(join(dir, 'valid-attestation-doc-bytes'))
  const debug = readFileSync(join(dir, 'debug-mode-attestation-doc-bytes'))
  const flipped = Buffer.from(valid)
  flipped[200] = (flipped[200] as number) ^ 1
  const row = (id: string, evidence: Uint8Array, now: string, code?: string, policy: JsonObject = {}): Case => ({
    id,
    expected: code === undefined ? 'accept' : 'reject',
    ...(code === undefined ? {} : { code }),
    run: () =>
      outcomeOf(() =>
        attestEvidence(
          verifier,
          evidence,
          { now: at(now), expected: { kind: 'unchecked' } },
          verifier.readPolicy(policy),
        ),
      ),
  })
  return [
    row('valid, first second', valid, '2022-10-13T08:57:59Z'),
    row('valid, last second', valid, '2022-10-13T11:58:02Z'),
    row('valid, before', valid, '2022-10-13T08:57:58Z', 'attestation.not_yet_valid'),
    row('valid, after three hours', valid, '2022-10-13T11:58:03Z', 'attestation.expired'),
    row('valid, changed', flipped, '2022-10-13T09:00:00Z', 'attestation.invalid_signature'),
    row('valid, another image', valid, '2022-10-13T09:00:00Z', 'attestation.measurement_mismatch', {
      pcrs: { 0: ['00'.repeat(48)] },
    }),
    row('debug', debug, '2022-10-12T14:00:00Z', 'attestation.debug'),
    row('debug, allowed', debug, '2022-10-12T14:00:00Z', undefined, { allowDebug: true }),
  ]
})
