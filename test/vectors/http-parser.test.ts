import { parseHttpRequest } from '../../packages/aims/src/base/http.ts'
import { readParserCases } from './llhttp.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

// Ours refuses more than llhttp does (HTTP/1.0, pipelines, trailers): a request that llhttp takes may go either way.
suite('http-parser', 'suites/http-parsing', (dir) => {
  const cases = readParserCases(dir)
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
