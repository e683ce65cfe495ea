import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseHttpRequest } from '../../packages/aims/src/base/http.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

interface Llhttp {
  readonly cases: readonly {
    readonly title: string
    readonly type: string | null
    readonly input_b64: string
    readonly strict_error: string | null
  }[]
}

// Ours refuses more than llhttp does (HTTP/1.0, pipelines, trailers): a request that llhttp takes may go either way.
suite('http-parser', 'suites/http-parsing', (dir) => {
  const { cases }: Llhttp = JSON.parse(readFileSync(resolve(dir, 'llhttp-cases.json'), 'utf8'))
  return cases
    .filter(({ type }) => type?.startsWith('request'))
    .map(
      ({ title, input_b64, strict_error }, index): Case => ({
        id: `${index} ${title}`,
        expected: strict_error === null ? 'either' : 'reject',
        run: () => outcomeOf(() => parseHttpRequest(Buffer.from(input_b64, 'base64'))),
      }),
    )
})
