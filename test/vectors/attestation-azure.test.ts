import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { azureCollateral, azureVerifier } from '../../packages/aims/src/attestation/azure/azure.ts'
import { AZURE_ROOTS } from '../../packages/aims/src/attestation/azure/roots.ts'
import type { ExpectedBinding } from '../../packages/aims/src/attestation/binding.ts'
import { attestEvidence } from '../../packages/aims/src/attestation/evidence.ts'
import type { JsonObject } from '../../packages/aims/src/base/json.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

const at = (iso: string) => Date.parse(iso) / 1000
const nonce = (text: string): ExpectedBinding => ({ kind: 'data', data: Buffer.from(text) })

suite('attestation-azure', 'attestation/azure', (dir) => {
  const read = (name: string): Buffer => readFileSync(join(dir, name))
  const files = [
    'ms-rsa-tls-ca-01.pem',
    'baltimore-cybertrust-root.pem',
    'digicert-global-root-g2.pem',
    'ms-azure-tls-issuing-ca-05.pem',
  ]
  const collateral = azureCollateral(files.map((name) => ({ name, bytes: read(name) })))
  const der = read('attested-regular-2022.der')
  const flipped = Buffer.from(der)
  const digit = flipped.indexOf('bd8e7443-24a0') + 2
  flipped[digit] = (flipped[digit] as number) ^ 1
  const row = (
    id: string,
    evidence: Uint8Array,
    now: string,
    code?: string,
    options: {
      readonly roots?: ReadonlySet<string>
      readonly expected?: ExpectedBinding
      readonly policy?: JsonObject
    } = {},
  ): Case => ({
    id,
    expected: code === undefined ? 'accept' : 'reject',
    ...(code === undefined ? {} : { code }),
    run: () =>
      outcomeOf(() => {
        const verifier = azureVerifier({ roots: options.roots ?? AZURE_ROOTS, collateral })
        const expected = options.expected ?? { kind: 'unchecked' }
        return attestEvidence(verifier, evidence, { now: at(now), expected }, verifier.readPolicy(options.policy ?? {}))
      }),
  })
  const noon = '2022-04-19T04:00:00Z'
  return [
    row('document', der, '2022-04-19T01:27:21Z'),
    row('document as base64', read('attested-regular-2022.b64'), '2022-04-19T07:27:21Z', undefined, {
      policy: { subscriptions: ['5f130ffc-0a3e-4795-b691-4f56a12a5547'] },
    }),
    row('document, nonce', der, noon, undefined, { expected: nonce('20220419-072721') }),
    row('document, another nonce', der, noon, 'attestation.binding_mismatch', { expected: nonce('20220419-072722') }),
    row('document, before', der, '2022-04-19T01:27:20Z', 'attestation.not_yet_valid'),
    row('document, after', der, '2022-04-19T07:27:22Z', 'attestation.expired'),
    row('document, after its certificate', der, '2023-02-21T00:00:00Z', 'attestation.expired'),
    row('document, changed', flipped, noon, 'attestation.invalid_signature'),
    row('document, another root', der, noon, 'attestation.untrusted', {
      roots: new Set(['cb3ccbb76031e5e0138f8dd39a23f9de47ffc35e43c1144cea27d46a5ab1cb5f']),
    }),
    row('document, another subscription', der, noon, 'attestation.not_allowed', {
      policy: { subscriptions: ['00000000-0a3e-4795-b691-4f56a12a5547'] },
    }),
  ]
})
