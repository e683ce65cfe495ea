import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { outbound } from '../../packages/aims/src/base/outbound.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

interface Urls {
  readonly urls: readonly { readonly url: string; readonly class: string }[]
}

/** Names inside of a network: they resolve, and lead inside. Names of the examples lead to the public internet. */
const isInside = (host: string): boolean => !/(?:^|\.)example(?:\.org)?$/.test(host)

suite('ssrf', 'suites/ssrf', (dir) => {
  const { urls }: Urls = JSON.parse(readFileSync(join(dir, 'urls.json'), 'utf8'))
  return urls.flatMap(({ url, class: kind }, index): readonly Case[] =>
    (['public', ['good.example', 'example.org']] as const).map((hosts) => ({
      id: `${index} ${kind}, hosts ${String(hosts)}`,
      expected: 'reject',
      async run() {
        let packets = 0
        const fetcher = outbound({
          purposes: { test: { hosts } },
          resolve: async (host) => [isInside(host) ? '10.0.0.1' : '93.184.215.14'],
          connect() {
            packets += 1
            throw new Error('a packet left')
          },
        })
        const outcome = await outcomeOf(() => fetcher.fetch('test', url))
        return packets > 0 ? { accepted: true } : outcome
      },
    })),
  )
})
