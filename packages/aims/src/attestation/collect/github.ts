import { AimsError } from '../../base/errors.ts'
import type { Exchange } from '../exchange.ts'
import { askPlatform, type Platform, readJsonAnswer, tokenBytes } from './ask-platform.ts'
import type { EvidenceCollector } from './collector.ts'

/** Where a job asks for its token. */
export interface GithubCollectorOptions {
  /** Has ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN in jobs with `permissions: id-token: write`. */
  readonly env: { readonly [name: string]: string | undefined }
  readonly exchange: Exchange
}

const GITHUB: Platform = { name: 'the token endpoint of GitHub', code: 'attestation.collection_failed' }
const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '[::1]', 'localhost'])

/**
 * Makes the collector of `github`: it asks GitHub for the OpenID Connect token of the job that runs. Outside of a job with
 * the permission there is no evidence.
 *
 * @see https://docs.github.com/en/actions/reference/security/oidc
 */
export function githubCollector({ env, exchange }: GithubCollectorOptions): EvidenceCollector {
  const { ACTIONS_ID_TOKEN_REQUEST_URL: address = '', ACTIONS_ID_TOKEN_REQUEST_TOKEN: token = '' } = env
  return {
    type: 'github',
    async collect({ audience }) {
      if (address === '' || token === '') return undefined
      const url = readAddress(address)
      if (!/^[!-~]+$/.test(token)) throw new AimsError(GITHUB.code, 'the token of the job is not one')
      url.searchParams.set('audience', audience)
      const headers = { authorization: `Bearer ${token}`, accept: 'application/json; api-version=2.0' }
      const { body } = await askPlatform(exchange, { method: 'GET', url: url.href, headers }, GITHUB)
      return tokenBytes(readJsonAnswer(body, GITHUB).value, GITHUB)
    },
  }
}

// The job's own token goes there, so it must be https, or stay on this machine.
function readAddress(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && LOOPBACK.has(url.hostname))
  if (url === undefined || !isSafe || url.username !== '' || url.password !== '') {
    throw new AimsError(GITHUB.code, `the address of ${GITHUB.name} is not https`)
  }
  return url
}
