import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject } from '../../base/json.ts'
import type { TrustBundle } from '../../credentials/bundle/bundle.ts'
import type { X509Svid } from '../../credentials/x509-svid/source.ts'
import { type FederatedBundles, readFederated, readStanding } from '../trust/state.ts'
import type { IdentityServer } from './server.ts'

/** Whom a workload may believe, as its identity server says now. */
export interface TrustNews {
  /** Names this state. */
  readonly revision: string
  /** Of the own trust domain: the newest that is known. */
  readonly bundle: TrustBundle
  /** `undefined`: the server does not know who asks, and does not say. */
  readonly federated: FederatedBundles | undefined
  /** Whose signatures are good for long. */
  readonly standing: ReadonlySet<string>
  /** Of the entry that the credentials came from; `null`: it is gone; `undefined`: as for `federated`. */
  readonly entryRevision: number | null | undefined
}

/** Milliseconds. The server holds a request for 25 s. */
const TIMEOUT = 40_000

/**
 * Asks whom to believe; waits for another state than `after`.
 *
 * @param as - Who asks. Without it there are no bundles of other trust domains.
 * @throws {@link AimsError} as `IdentityServer.send`, `operation.invalid_response`
 */
export async function askTrust(
  server: IdentityServer,
  options: { readonly as: X509Svid | undefined; readonly after: string | undefined; readonly signal: AbortSignal },
): Promise<TrustNews> {
  const { as, after, signal } = options
  const path = `/v1/trust${after === undefined ? '' : `?after=${after}`}`
  const answer = await server.send({ method: 'GET', path, timeout: TIMEOUT, signal }, as)
  if (!isJsonObject(answer)) throw invalid()
  try {
    return readTrust(server, answer)
  } catch (cause) {
    throw AimsError.is(cause) && cause.code === 'operation.invalid_response' ? cause : invalid(cause)
  }
}

/**
 * Reads what an answer says about trust, and lets `server` learn the bundle.
 *
 * @throws {@link AimsError} `operation.invalid_response`, `bundle.*`, `identifier.*`
 */
export function readTrust(
  server: IdentityServer,
  { trust, bundle, federated, standing, entryRevision }: JsonObject,
): TrustNews {
  const isRevision = entryRevision === undefined || entryRevision === null || typeof entryRevision === 'number'
  if (typeof bundle !== 'string' || typeof trust !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(trust) || !isRevision)
    throw invalid()
  const own = server.learn(bundle)
  return {
    revision: trust,
    bundle: own,
    federated: federated === undefined ? undefined : readFederated(federated, own.trustDomain),
    standing: readStanding(standing ?? null),
    entryRevision,
  }
}

function invalid(cause?: unknown): AimsError {
  return new AimsError('operation.invalid_response', 'what the server said about trust cannot be used', { cause })
}
