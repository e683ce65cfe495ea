import { AimsError, refuseAs } from '../../base/errors.ts'
import { parseJsonObject } from '../../base/json.ts'
import { parseOutboundUrl } from '../../base/outbound-url.ts'
import type { RefreshTask } from './refresh.ts'

/** Keys of an issuer of tokens. */
export interface KeySet {
  readonly purpose: string
  /** The name under which the verifier asks for it. */
  readonly name: string
  readonly url: string
  /** Sent as bearer token, where keys are not public. */
  readonly token?: string
}

/** Keys of Google, for GCP. */
export const GOOGLE_KEYS: KeySet = {
  purpose: 'gcp',
  name: 'gcp/jwks.json',
  url: 'https://www.googleapis.com/oauth2/v3/certs',
}

/** Keys of GitHub, for Actions. */
export const GITHUB_KEYS: KeySet = {
  purpose: 'github',
  name: 'github/jwks.json',
  url: 'https://token.actions.githubusercontent.com/.well-known/jwks',
}

/** Keys of one tenant of Azure, for managed identities. */
export function azureKeys(tenant: string): KeySet {
  if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(tenant))
    throw new TypeError('a tenant is a UUID, lower case')
  const url = `https://login.microsoftonline.com/${tenant}/discovery/keys`
  return { purpose: 'azure', name: `azure/${tenant}/jwks.json`, url }
}

/**
 * Keys of one Kubernetes cluster, by the name that the configuration gives it.
 *
 * @param url - Where the cluster publishes them, e.g. `https://10.0.0.1:6443/openid/v1/jwks`.
 */
export function kubernetesKeys(cluster: string, url: string, token?: string): KeySet {
  if (!/^[a-z0-9][a-z0-9.-]{0,62}$/.test(cluster))
    throw new TypeError('the name of a cluster has a-z, 0-9, dot and hyphen')
  const name = `kubernetes/${cluster}/jwks.json`
  return { purpose: 'kubernetes', name, url, ...(token === undefined ? {} : { token }) }
}

/** The host of a key set, with its port, for the list of what may be reached. */
export function hostOf({ url }: KeySet): string {
  const { host, port } = parseOutboundUrl(url)
  return port === 443 ? host : `${host}:${port}`
}

/** Fetches a JWK Set. Only one with keys takes the place of the one at hand. */
export function keySetTask({ purpose, name, url, token }: KeySet): RefreshTask {
  return {
    purpose,
    url,
    name,
    types: ['application/json', 'application/jwk-set+json'],
    ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
    read: (body) => [{ name, bytes: body, check: () => requireKeys(body) }],
  }
}

function requireKeys(body: Uint8Array): void {
  const { keys } = refuseAs('attestation.collateral_malformed', 'the answer is not strict JSON', () =>
    parseJsonObject(body),
  )
  if (!Array.isArray(keys) || keys.length === 0) {
    throw new AimsError('attestation.collateral_malformed', 'the answer is not a JWK Set with keys')
  }
}
