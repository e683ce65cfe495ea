// The rows of spec/vectors/http-signature.json: messages signed as our own client would, and as it would not.
import type { RawHeaders } from 'aims/authentication'
import type { WorkloadKey } from 'aims/base'
import { component, contentDigest, signMessageLocally, toParameters } from 'aims/message-signatures'

interface Given {
  readonly now: number
  readonly wit: string
  readonly workload: WorkloadKey
  readonly stranger: WorkloadKey
  readonly audience: string
}

interface Signed {
  readonly target?: string
  readonly headers?: RawHeaders
  readonly covered?: readonly string[]
  readonly parameters?: { readonly [name: string]: number | string | true | undefined }
  readonly key?: WorkloadKey
}

/** One row: the whole message in place of the good one, and the code it must be refused with. */
interface Row {
  readonly name: string
  readonly code: string
  readonly message: string
}

const METHOD = 'POST'
const TARGET = '/api/v1/events?day=1'
const BODY = '{"title":"standup"}'
const COVERED = ['@method', '@path', '@query', 'content-type', 'content-digest', 'workload-identity-token']

export function signatureVectors({ now, wit, workload, stranger, audience }: Given): {
  readonly message: string
  readonly negative: readonly Row[]
} {
  const sent: RawHeaders = [
    ['Content-Type', 'application/json'],
    ['Content-Digest', contentDigest(Buffer.from(BODY))],
    ['Workload-Identity-Token', wit],
  ]
  const message = ({
    target = TARGET,
    headers = sent,
    covered = COVERED,
    parameters = {},
    key = workload,
  }: Signed = {}): string => {
    const fields = signMessageLocally({ method: METHOD, target, headers }, key, {
      label: 'wimse',
      components: covered.map((name) => component(name)),
      parameters: toParameters({
        created: now - 5,
        expires: now + 55,
        nonce: 'f47ac10b58cc4372a567',
        tag: 'wimse-workload-to-workload',
        'wimse-aud': audience,
        ...parameters,
      }),
    })
    const lines = [...headers, ['Signature-Input', fields['signature-input']], ['Signature', fields.signature]]
    return [
      `${METHOD} ${target} HTTP/1.1`,
      'Host: api.example.com',
      ...lines.map(([name, value]) => `${name}: ${value}`),
      `Content-Length: ${BODY.length}`,
      '',
      BODY,
    ].join('\r\n')
  }
  const without = (name: string): readonly string[] => COVERED.filter((one) => one !== name)
  const row = (name: string, code: string, signed: Signed): Row => ({ name, code, message: message(signed) })
  const good = message()
  const changed = (name: string, code: string, from: string | RegExp, to: string): Row => ({
    name,
    code,
    message: good.replace(from, to),
  })
  return {
    message: good,
    negative: [
      row('F1 keyid', 'signature.forbidden_parameter', { parameters: { keyid: 'k' } }),
      row('F1 alg', 'signature.forbidden_parameter', { parameters: { alg: 'ecdsa-p256-sha256' } }),
      ...['created', 'expires', 'nonce', 'wimse-aud'].map((name) =>
        row(`F2 without ${name}`, 'signature.missing_parameter', { parameters: { [name]: undefined } }),
      ),
      row('F3 another tag', 'signature.missing', { parameters: { tag: 'other' } }),
      ...COVERED.map((name) => row(`F4 ${name} not covered`, 'signature.not_covered', { covered: without(name) })),
      changed('F5 another body', 'signature.digest_mismatch', 'standup', 'holiday'),
      row('F5 a body without a digest', 'signature.digest_missing', {
        headers: sent.filter(([name]) => name !== 'Content-Digest'),
        covered: without('content-digest'),
      }),
      row('F5 md5 only', 'signature.digest_unsupported', {
        headers: sent.map(([name, value]) => [
          name,
          name === 'Content-Digest' ? 'md5=:Sd/dVLAcvNLSq16eXua5uQ==:' : value,
        ]),
      }),
      changed('F6 another query', 'signature.invalid_signature', 'day=1', 'day=2'),
      changed('F7 the path in another spelling', 'signature.invalid_signature', '/v1/events', '/v1%2Fevents'),
      row('F8 signed by a stranger', 'signature.invalid_signature', { key: stranger }),
      row('F9 created in the future', 'signature.not_yet_valid', { parameters: { created: now + 1 } }),
      row('F9 expires that is now', 'signature.expired', { parameters: { expires: now } }),
      row('F9 expires before created', 'signature.invalid_parameter', {
        parameters: { created: now - 5, expires: now - 6 },
      }),
      row('F9 301 seconds', 'signature.lifetime_too_long', { parameters: { expires: now + 296 } }),
      row('F11 another audience', 'signature.audience_mismatch', {
        parameters: { 'wimse-aud': 'https://other.example' },
      }),
      changed('F14 a component covered twice', 'signature.invalid_component', '"@method"', '"@method" "@method"'),
      changed('F15 labels that differ', 'signature.malformed', 'Signature: wimse=', 'Signature: other='),
      changed('F15 base64 without padding', 'signature.malformed', /=+:\r\nContent-Length/, ':\r\nContent-Length'),
      row('F16 the shape of http-signature-06', 'authentication.profile_disabled', {
        covered: ['@method', '@request-target', ...COVERED.slice(3)],
      }),
      changed(
        'F18 a covered field twice',
        'signature.invalid_signature',
        'Content-Type: ',
        'Content-Type: text/html\r\nContent-Type: ',
      ),
      changed(
        'F20 a target in absolute form',
        'signature.target_unsupported',
        'POST /',
        'POST https://api.example.com/',
      ),
    ],
  }
}
