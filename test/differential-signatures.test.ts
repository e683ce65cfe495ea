// Another implementation as the oracle: each verifies what the other signed, and neither what was changed since.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createSigner, createVerifier, httpbis, type Request } from 'http-message-signatures'
import { type Component, component } from '../packages/aims/src/authentication/message-signatures/components.ts'
import type { RequestMessage } from '../packages/aims/src/authentication/message-signatures/message.ts'
import { signMessageLocally } from '../packages/aims/src/authentication/message-signatures/sign.ts'
import { readSignatures, toParameters } from '../packages/aims/src/authentication/message-signatures/signature.ts'
import { verifySignature } from '../packages/aims/src/authentication/message-signatures/verify.ts'
import { verificationKey, WorkloadKey } from '../packages/aims/src/base/keys.ts'

const now = Math.floor(Date.now() / 1000)
const COMPONENTS = ['@method', '@path', '@query', '@authority', '@scheme', '@target-uri', 'x-one', 'content-type']

// The other implementation derives everything from a URL, so only targets that one writes as they are.
const REQUEST = fc.record({
  method: fc.constantFrom('GET', 'POST', 'DELETE'),
  path: fc.stringMatching(/^\/[a-z0-9/]{0,12}$/).filter((path) => !path.includes('//')),
  query: fc.stringMatching(/^(?:\?[a-z0-9=&]{1,12})?$/),
  value: fc.stringMatching(/^[!-~](?:[ -~]{0,12}[!-~])?$/),
  covered: fc.shuffledSubarray(COMPONENTS, { minLength: 1 }),
})

interface Given {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly value: string
}

const headersOf = ({ value }: Given): Record<string, string> => ({
  host: 'api.example.com',
  'x-one': value,
  'content-type': 'text/plain',
})

function ours(given: Given, extra: Record<string, string | string[]> = {}): RequestMessage {
  const headers = Object.entries({ ...headersOf(given), ...extra })
  return {
    method: given.method,
    target: `${given.path}${given.query}`,
    scheme: 'https',
    headers: headers.map(([name, value]): [string, string] => [name, String(value)]),
  }
}

const theirs = (given: Given, extra: Record<string, string> = {}): Request => ({
  method: given.method,
  url: `https://api.example.com${given.path}${given.query}`,
  headers: { ...headersOf(given), ...extra },
})

for (const [alg, name] of [
  ['ES256', 'ecdsa-p256-sha256'],
  ['Ed25519', 'ed25519'],
] as const) {
  const key = WorkloadKey.generate(alg)
  const own = verificationKey(key.publicKey, { alg })
  const verifies = (message: RequestMessage, required: readonly Component[]): boolean => {
    const [signature] = readSignatures(message.headers)
    if (signature === undefined) return false
    try {
      return verifySignature(message, signature, { key: own, required, now }).kind === 'verified-signature'
    } catch {
      return false
    }
  }

  test(`${alg}: we verify what the other signed, and it what we signed`, async () => {
    await fc.assert(
      fc.asyncProperty(REQUEST, async (given) => {
        const components = given.covered.map((one) => component(one))
        const signed = await httpbis.signMessage(
          {
            key: createSigner(key.tlsKey, name, 'k'),
            name: 'sig',
            fields: given.covered,
            params: ['created', 'keyid'],
          },
          theirs(given),
        )
        const message = ours(given, signed.headers)
        assert.equal(verifies(message, components), true)
        if (given.covered.includes('@method')) {
          assert.equal(verifies({ ...message, method: 'PATCH' }, components), false)
        }

        const fields = signMessageLocally(ours(given), key, {
          label: 'sig',
          components,
          parameters: toParameters({ created: now, keyid: 'k' }),
        })
        const keyLookup = async () => ({ verify: createVerifier(key.publicKey, name), algs: [name] })
        const request = theirs(given, { ...fields })
        assert.equal(await httpbis.verifyMessage({ keyLookup, tolerance: 60 }, request), true)
      }),
      { numRuns: 50 },
    )
  })
}
