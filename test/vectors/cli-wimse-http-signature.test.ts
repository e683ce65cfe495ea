import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { at, file, verdict } from '../support/cli.ts'
import { type Case, suite } from './suite.ts'

// The same vectors as files, judged by `aims verify request` as somebody would who tests AIMS from outside.

type Headers = readonly (readonly [string, string])[]

interface Signed {
  readonly headers: Headers
  readonly body: string
  readonly signature_input: string
  readonly signature: string
}

interface Vector extends Omit<Signed, 'headers'> {
  readonly issuer_verifying_key: object
  readonly verify_now: number
  readonly params: { readonly wimse_aud: string }
  readonly request: { readonly method: string; readonly path: string; readonly headers: Headers }
  readonly accept_audience?: string
  readonly max_age?: number
  readonly accept_label?: string
  readonly required_components?: readonly string[]
  readonly negative: readonly (Partial<Vector> & { readonly id: string; readonly expect: string })[]
  readonly response: Signed & { readonly status: number }
}

const CODES: { readonly [reason: string]: string } = {
  wrong_tag: 'signature.missing',
  content_digest_mismatch: 'signature.digest_mismatch',
  // The WIT is judged first, and it was issued in the same second.
  created_in_future: 'credential.issued_in_future',
}

function messageOf(
  firstLine: string,
  { headers, body, signature_input: input, signature }: Signed,
  end: string,
): string {
  const lines = [
    ...headers.map(([name, value]) => `${name}: ${value}`),
    `Signature-Input: ${input}`,
    `Signature: ${signature}`,
  ]
  return file([firstLine, 'Host: h', ...lines, `Content-Length: ${Buffer.byteLength(body)}`, '', body].join(end))
}

suite('cli-wimsey-httpsig06', 'wimse/wimsey-httpsig06', (dir) => {
  const given: Vector = JSON.parse(readFileSync(join(dir, 'sign-eddsa-draft06.json'), 'utf8'))
  const bundle = file({ keys: [{ ...given.issuer_verifying_key, kid: 'issuer-key-1' }] })
  const judge = (vector: Vector, end: string, ...options: readonly string[]) => {
    const { method, path, headers } = vector.request
    const message = messageOf(`${method} ${path} HTTP/1.1`, { ...vector, headers }, end)
    const audience = vector.accept_audience ?? vector.params.wimse_aud
    return verdict(
      ...['verify', 'request', '--message', message, '--bundle', bundle, '--trust-domain', 'example.org'],
      ...['--audience', audience, ...at(vector.verify_now), ...options],
    )
  }
  const older = ['--profile', 'wimse-http-signature-06']
  const { status, ...answer } = given.response
  const response = (change: Partial<Signed> = {}): readonly string[] => {
    return [...older, '--response', messageOf(`HTTP/1.1 ${status} OK`, { ...answer, ...change }, '\r\n')]
  }
  const accept = (id: string, ...options: readonly string[]): Case => ({
    id,
    expected: 'accept',
    run: () => judge(given, '\r\n', ...options),
  })
  const refuse = (id: string, code: string, ...options: readonly string[]): Case => ({
    id,
    expected: 'reject',
    code,
    run: () => judge(given, '\r\n', ...options),
  })
  return [
    accept('request', ...older),
    accept('request and response', ...response()),
    accept('response by the expected peer', ...response(), '--peer', 'spiffe://example.org/workload/api'),
    refuse('F16 under the current profile', 'authentication.profile_disabled'),
    refuse(
      'response by another peer',
      'authentication.peer_unexpected',
      ...response(),
      '--peer',
      'spiffe://example.org/x',
    ),
    refuse('response with another body', 'signature.digest_mismatch', ...response({ body: '{}' })),
    refuse(
      'response without a signature',
      'signature.response_unsigned',
      ...older,
      '--response',
      file('HTTP/1.1 200 OK\r\n\r\n'),
    ),
    ...['\n', '\r\n'].flatMap((end) =>
      given.negative
        // The command has no option for what these three ask of a verifier.
        .filter(({ max_age, accept_label, required_components }) => !(max_age ?? accept_label ?? required_components))
        .map(({ id, expect, ...change }): Case => {
          const run = () => judge({ ...given, ...change }, end, ...older)
          return {
            id: `${id}, ${JSON.stringify(end)}`,
            expected: 'reject',
            code: CODES[expect] ?? `signature.${expect}`,
            run,
          }
        }),
    ),
  ]
})
