import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseSpiffeId, pathOf, trustDomainOf } from 'aims/identifiers'
import { type Case, outcomeOf, suite } from './suite.ts'

// The sources name a character class by its place; we have one code for each of theirs.
const CODES: { readonly [reason: string]: string } = {
  bad_path_segment_char: 'identifier.bad_path_char',
  trust_domain_too_long: 'identifier.too_long',
}

function codeFor(reason: string): string {
  return CODES[reason] ?? `identifier.${reason}`
}

function accepts(text: string, trustDomain: string | undefined, path: string | undefined): Case {
  return {
    id: text.slice(0, 80),
    expected: 'accept',
    run: () =>
      outcomeOf(() => {
        const id = parseSpiffeId(text)
        if (id !== text) throw new Error('printed back otherwise')
        if (trustDomain !== undefined && trustDomainOf(id) !== trustDomain) throw new Error('wrong trust domain')
        if (path !== undefined && pathOf(id) !== path) throw new Error('wrong path')
      }),
  }
}

function refuses(text: string, reason: string): Case {
  return {
    id: text.slice(0, 80),
    expected: 'reject',
    code: codeFor(reason),
    run: () => outcomeOf(() => parseSpiffeId(text)),
  }
}

interface SpiffeIdCase {
  readonly input: string
  /** Or a sentence: the source leaves the answer to the implementation. */
  readonly valid: boolean | string
  readonly trust_domain?: string
  readonly path?: string
  readonly reason?: string
}

suite('spiffe-id', 'suites/spiffe', (dir) => {
  const { cases } = JSON.parse(readFileSync(resolve(dir, 'spiffe-id.json'), 'utf8')) as {
    readonly cases: readonly SpiffeIdCase[]
  }
  return cases.map((one) => {
    if (one.valid === true) return accepts(one.input, one.trust_domain, one.path)
    if (one.valid === false) return refuses(one.input, one.reason ?? 'without a reason')
    return { ...refuses(one.input, 'too_long'), expected: 'either' }
  })
})

suite('spiffe-id-cases', 'spiffe', (dir) => {
  const { accept, reject } = JSON.parse(readFileSync(resolve(dir, 'spiffe-id-cases.json'), 'utf8')) as {
    readonly accept: readonly { readonly id: string; readonly trust_domain: string; readonly path: string }[]
    readonly reject: readonly { readonly id: string; readonly reason: string }[]
  }
  return [
    ...accept.map((one) => accepts(one.id, one.trust_domain, one.path)),
    ...reject.map((one) => refuses(one.id, one.reason)),
  ]
})
