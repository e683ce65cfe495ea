import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AimsError } from '../../packages/aims/src/base/errors.ts'
import { parsePem } from '../../packages/aims/src/base/pem.ts'
import { type Certificate, parseCertificate } from '../../packages/aims/src/base/x509-certificate.ts'
import { validatePath } from '../../packages/aims/src/base/x509-path.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

interface LimboCase {
  readonly id: string
  readonly validation_kind: 'SERVER' | 'CLIENT'
  readonly trusted_certs: readonly string[]
  readonly untrusted_intermediates: readonly string[]
  readonly peer_certificate: string
  readonly validation_time: string | null
  readonly expected_result: 'SUCCESS' | 'FAILURE'
  readonly expected_peer_name: { readonly kind: string; readonly value: string } | null
  readonly max_chain_depth: number | null
}

/** Naming rules of the web PKI, and chains of live web sites, are not SPIFFE's. */
const GROUPS = ['rfc5280', 'pathlen', 'pathological', 'crl', 'cve']
/** When the suite was generated, for cases that name no time. */
const GENERATED_AT = Date.parse('2026-06-29T00:00:00Z') / 1000

// [credentials.x509-path.02] [credentials.x509-svid.17]
suite('x509-limbo', 'suites/x509-limbo', (dir) => {
  const { testcases } = JSON.parse(readFileSync(join(dir, 'limbo.json'), 'utf8')) as { testcases: LimboCase[] }
  return testcases
    .filter(({ id }) => GROUPS.includes(id.split('::')[0] ?? ''))
    .map(
      (one): Case => ({
        id: one.id,
        expected: one.expected_result === 'SUCCESS' ? 'accept' : 'reject',
        run: () => outcomeOf(() => validate(one)),
      }),
    )
})

function validate(one: LimboCase): void {
  const leaf = parseAll([one.peer_certificate])[0] as Certificate
  validatePath({
    leaf,
    intermediates: parseAll(one.untrusted_intermediates),
    anchors: parseAll(one.trusted_certs),
    now: one.validation_time === null ? GENERATED_AT : Date.parse(one.validation_time) / 1000,
    ...(one.max_chain_depth === null ? {} : { maxPathLength: one.max_chain_depth }),
  })
  requirePurpose(leaf, one)
  requireName(leaf, one)
}

function parseAll(pems: readonly string[]): readonly Certificate[] {
  return pems.flatMap((pem) => parsePem(pem)).map(({ bytes }) => parseCertificate(bytes))
}

// Purpose and name are above the path validator: in AIMS the SVID profile decides them. The suite wants both.
function requirePurpose(leaf: Certificate, { validation_kind }: LimboCase): void {
  const wanted = validation_kind === 'SERVER' ? '1.3.6.1.5.5.7.3.1' : '1.3.6.1.5.5.7.3.2'
  if (leaf.extensions.extendedKeyUsage?.purposes.includes(wanted) === false) {
    throw new AimsError('x509.extended_key_usage', 'not for this purpose')
  }
}

function requireName(leaf: Certificate, { expected_peer_name: name }: LimboCase): void {
  if (name === null || name.kind !== 'DNS') return
  const wildcard = name.value.replace(/^[^.]+/, '*')
  if (!leaf.altNames.dnsNames.some((one) => one === name.value || one === wildcard)) {
    throw new AimsError('x509.invalid_identifier', 'another name')
  }
}
