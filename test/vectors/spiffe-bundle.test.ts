import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  bundleSource,
  emptyBundle,
  parseAnyBundle,
  parseBundle,
  parseJwks,
  serializeBundle,
  verifyWit,
} from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { decodeUnverifiedWit } from '../../packages/aims/src/credentials/wit/decode.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

const trustDomain = parseTrustDomain('example.com')

// The file names say what go-spiffe does with them: `valid` parses, everything else is an error there.
suite('go-spiffe-bundles', 'spiffe/go-spiffe', (dir) => [
  ...documents(dir, 'bundle', (json) => {
    const { bundle } = parseBundle(json, trustDomain)
    parseBundle(serializeBundle(bundle, { includeWit: true }), trustDomain)
    parseAnyBundle(json, trustDomain)
  }),
  ...documents(dir, 'jwks', (json) => parseJwks(json, trustDomain)),
  ...documents(dir, 'witjwks', (json) => parseJwks(json, trustDomain)),
])

function documents(dir: string, folder: string, parse: (json: Uint8Array) => unknown): readonly Case[] {
  return readdirSync(join(dir, folder)).map(
    (file): Case => ({
      id: `${folder}/${file}`,
      expected: file.includes('valid') ? 'accept' : 'reject',
      run: () => outcomeOf(() => parse(readFileSync(join(dir, folder, file)))),
    }),
  )
}

// The issuer key of this example was never published: its shape is all that can be checked.
suite('spiffe-wit-svid', 'spiffe/wit-svid', (dir) => {
  const { token } = JSON.parse(readFileSync(join(dir, 'example.json'), 'utf8')) as { token: string }
  const now = 1_765_452_903
  return [
    { id: 'decodes', expected: 'accept', run: () => outcomeOf(() => decodeUnverifiedWit(token)) },
    {
      id: 'is not trusted without a key',
      expected: 'reject',
      code: 'credential.unknown_key',
      run: () =>
        outcomeOf(() =>
          verifyWit(token, { bundles: bundleSource(emptyBundle(trustDomain)), profile: 'wimse', svid: true, now }),
        ),
    },
  ]
})
