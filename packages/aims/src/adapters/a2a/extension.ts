import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'
import { parseWorkloadSpiffeId, type WorkloadId } from '../../identifiers/spiffe-id.ts'

/**
 * The extension of a card that says whose it is: `params` has `spiffeId`, and `audience`, which proofs for the agent name. A
 * name that needs no registry.
 */
export const IDENTITY_EXTENSION = 'urn:uuid:a0bb3217-ab69-4dd2-9e03-9d298a62b554'

/** Whose card it is, in its own words. */
export interface CardIdentity {
  readonly spiffeId: WorkloadId
  readonly audience?: string
}

/** Says whose card it is. */
export function identityExtension({ spiffeId, audience }: CardIdentity): JsonObject {
  return {
    uri: IDENTITY_EXTENSION,
    description: 'The SPIFFE ID of this agent, whose key signs the card, and the audience of proofs for it',
    params: { spiffeId, ...(audience === undefined ? {} : { audience }) },
  }
}

/** The extensions of a card. @throws {@link AimsError} `a2a.card_malformed` */
export function extensionsOf({ capabilities = {} }: JsonObject): readonly JsonValue[] {
  const extensions = isJsonObject(capabilities) ? (capabilities.extensions ?? []) : undefined
  if (!Array.isArray(extensions)) throw new AimsError('a2a.card_malformed', 'the extensions are no list')
  return extensions
}

/** Reads whose card it is. Verifies nothing. @throws {@link AimsError} `a2a.card_malformed`, `.card_unbound` */
export function unverifiedIdentityOf(card: JsonObject): CardIdentity {
  const own = extensionsOf(card).filter((one) => isJsonObject(one) && one.uri === IDENTITY_EXTENSION)
  const [extension] = own
  const { params } = isJsonObject(extension) ? extension : {}
  const { spiffeId, audience } = isJsonObject(params) ? params : {}
  if (own.length !== 1 || typeof spiffeId !== 'string' || (audience !== undefined && typeof audience !== 'string')) {
    throw new AimsError('a2a.card_unbound', 'the card does not say once whose it is')
  }
  try {
    return { spiffeId: parseWorkloadSpiffeId(spiffeId), ...(audience === undefined ? {} : { audience }) }
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new AimsError('a2a.card_unbound', 'the card does not say by a SPIFFE ID whose it is', { cause })
  }
}
