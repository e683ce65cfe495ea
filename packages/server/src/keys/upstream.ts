import { AimsError, type Clock, isJsonObject, type JsonObject, type Signer } from 'aims/base'
import type { TrustDomain } from 'aims/identifiers'
import { aimsUpstream } from './upstream-aims.ts'
import { fileUpstream } from './upstream-file.ts'
import { spireUpstream } from './upstream-spire.ts'

/** What the certificate of a CA shall say. Times in whole seconds since the epoch. */
export interface CaOrder {
  readonly trustDomain: TrustDomain
  /** Of the new CA. */
  readonly key: Signer
  readonly notBefore: number
  /** No later than this. */
  readonly notAfter: number
  readonly pathLength: number
}

/** A CA certificate from above. */
export interface CertifiedCa {
  readonly certificate: Uint8Array
  /** DER: those above it, nearest first, the root last. */
  readonly chain: readonly Uint8Array[]
  /** Of all of them, seconds since the epoch. */
  readonly expiresAt: number
}

/** The CA above those of this server, ready to certify one. */
export interface UpstreamCa {
  certify(order: CaOrder): Promise<CertifiedCa>
}

/** A key that signs tokens here, and what for. */
export interface TokenKey {
  readonly purpose: 'jwt' | 'wit'
  readonly key: Signer & { readonly kid: string }
  /** Seconds since the epoch: nothing that it signs is valid any longer. */
  readonly until: number
}

/** What a server above says. */
export interface Heard {
  /** Its SPIFFE bundle, with the keys of all servers below it. */
  readonly bundle: string
  /** DER: roots that are not to be relied on. A CA below one is replaced at once. */
  readonly tainted: readonly Uint8Array[]
}

/** Where the CAs of this server get their certificates. Absent: they sign themselves. */
export interface Upstream {
  /** Gets ready, before a key is made: who is not there now will not certify it either. @throws {@link AimsError} */
  load(): Promise<UpstreamCa>
  /**
   * Publishes the keys that sign tokens here, in place of those before. Absent: nobody above wants to know.
   *
   * @returns what the server above says
   */
  publish?(keys: readonly TokenKey[]): Promise<Heard>
  /** What was published stays above to its end, also when it is published no more. Default false. */
  readonly isAppendOnly?: boolean
}

type Configure = (settings: JsonObject, trustDomain: TrustDomain, clock: Clock) => Upstream

const KINDS: { readonly [name: string]: Configure } = { file: fileUpstream, aims: aimsUpstream, spire: spireUpstream }

/**
 * The upstream authority that `keys.upstream` names: `file`, a CA on disk, `aims`, a server above this one, or
 * `spire`, a SPIRE server above it. Nothing is opened yet.
 *
 * @throws {@link AimsError} `operation.config_invalid`
 */
export function configuredUpstream(setting: JsonObject, trustDomain: TrustDomain, clock: Clock): Upstream | undefined {
  const [named, ...others] = Object.entries(setting)
  if (named === undefined) return undefined
  const [name, settings] = named
  const configure = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined
  if (others.length > 0 || configure === undefined || !isJsonObject(settings)) {
    throw invalid(`it is one of ${Object.keys(KINDS).join(', ')} with its settings`)
  }
  try {
    return configure(settings, trustDomain, clock)
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : 'not usable')
  }
}

function invalid(reason: string): AimsError {
  return new AimsError('operation.config_invalid', `"keys.upstream": ${reason}`)
}
