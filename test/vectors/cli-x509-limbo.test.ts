import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parsePemChain } from 'aims/credentials'
import { file, verdict } from '../support/cli.ts'
import { type Case, suite } from './suite.ts'

interface LimboCase {
  readonly id: string
  readonly trusted_certs: readonly string[]
  readonly untrusted_intermediates: readonly string[]
  readonly peer_certificate: string
  readonly validation_time: string | null
}

// Every case of the suite is a chain for a host of the web: valid or not, it is nobody's SVID and nobody's WIC.
// Which paths hold is judged by `x509-limbo`, below the profile of the leaf.
suite('cli-x509-limbo', 'suites/x509-limbo', (dir) => {
  const { testcases }: { testcases: readonly LimboCase[] } = JSON.parse(readFileSync(join(dir, 'limbo.json'), 'utf8'))
  return testcases.flatMap(
    ({ id, trusted_certs: roots, untrusted_intermediates: cas, peer_certificate: leaf, ...rest }) => {
      const now = (rest.validation_time ?? '2026-06-29T00:00:00Z').replace(' ', 'T')
      const chain = [leaf, ...cas].join('\n')
      return (['svid', 'wic'] as const).flatMap((mode): readonly Case[] => {
        const judge = (content: string | Uint8Array) => () =>
          verdict(
            ...['verify', 'x509-svid', '--chain', file(content), '--bundle', file(roots.join('\n')), '--mode', mode],
            ...['--trust-domain', 'example.com', '--now', now],
          )
        return [
          { id: `${id} as ${mode}`, expected: 'reject', run: judge(chain) },
          { id: `${id} as ${mode} in DER`, expected: 'reject', run: judge(derOf(chain)) },
        ]
      })
    },
  )
})

function derOf(pem: string): Uint8Array {
  return Buffer.concat(parsePemChain(pem))
}
