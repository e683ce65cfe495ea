import type { AuthenticationMethod } from '../../authentication/principal.ts'
import { encodeBase64url } from '../../base/bytes.ts'
import { isJsonObject, type JsonObject, parseJsonObject } from '../../base/json.ts'
import { jwkThumbprint } from '../../base/keys.ts'
import type { Wit, WitSource } from '../../credentials/wit/source.ts'
import { canonicalAgentCard, requireOneReading } from './canonical-card.ts'
import { extensionsOf, IDENTITY_EXTENSION, identityExtension } from './extension.ts'
import { securityOf } from './security-schemes.ts'

/** How callers prove themselves to the agent whose card it is. */
export interface CardOptions {
  /** The methods of its authenticator. */
  readonly methods: readonly AuthenticationMethod[]
  /** What its authenticator calls itself: the first of `audiences`. */
  readonly audience?: string
}

/** Where a signature has the WIT whose key made it. */
export const WIT_MEMBER = 'workload-identity-token'

/**
 * Signs the card of an agent with the key of its WIT, after adding who it is and how it is called: the identity extension,
 * security schemes, and that one of them is needed. The signature is good for as long as the WIT is.
 *
 * @param card - JSON as of A2A 1.0; of an object of the official SDK it is `AgentCard.toJSON(card)`. Signatures in it are left out.
 * @returns JSON again: `AgentCard.fromJSON(signed)`.
 * @throws TypeError for a card that says already whose it is, or has a member that is empty: not every verifier agrees on
 *   what is signed then
 * @throws {@link AimsError} `a2a.card_malformed`, `json.*`
 * @see A2A 1.0 section 8.4.2; RFC 7515 appendix F
 */
export function signAgentCard(card: unknown, wit: Wit, options: CardOptions): JsonObject {
  const identified = identify(parseJsonObject(JSON.stringify(card)), wit, options)
  requireOneReading(identified)
  const kid = jwkThumbprint(wit.key.publicKey)
  const header = encodeBase64url(Buffer.from(JSON.stringify({ alg: wit.key.alg, typ: 'JOSE', kid })))
  const payload = encodeBase64url(Buffer.from(canonicalAgentCard(identified)))
  const signature = encodeBase64url(wit.key.sign(Buffer.from(`${header}.${payload}`, 'latin1')))
  return { ...identified, signatures: [{ protected: header, signature, header: { [WIT_MEMBER]: wit.token } }] }
}

/** The card of an agent, signed anew whenever its WIT has changed: what it serves. */
export function signedAgentCard(card: unknown, wits: WitSource, options: CardOptions): () => JsonObject {
  let signed: { readonly token: string; readonly card: JsonObject } | undefined
  return () => {
    const wit = wits.wit()
    if (signed?.token !== wit.token) signed = { token: wit.token, card: signAgentCard(card, wit, options) }
    return signed.card
  }
}

function identify(card: JsonObject, { subject }: Wit, { methods, audience }: CardOptions): JsonObject {
  const { signatures: _, capabilities, securitySchemes, securityRequirements, ...rest } = card
  const extensions = extensionsOf(card)
  if (extensions.some((one) => isJsonObject(one) && one.uri === IDENTITY_EXTENSION)) {
    throw new TypeError('the card says already whose it is')
  }
  const { schemes, requirements } = securityOf(methods)
  return {
    ...rest,
    capabilities: {
      ...(isJsonObject(capabilities) ? capabilities : {}),
      extensions: [
        ...extensions,
        identityExtension({ spiffeId: subject, ...(audience === undefined ? {} : { audience }) }),
      ],
    },
    securitySchemes: { ...(isJsonObject(securitySchemes) ? securitySchemes : {}), ...schemes },
    securityRequirements: [...(Array.isArray(securityRequirements) ? securityRequirements : []), ...requirements],
  }
}
