import { AimsError } from '../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../base/json.ts'

/** How much the attestation behind a credential says, weakest first. */
export const ASSURANCE_LEVELS = ['low', 'moderate', 'high'] as const

/** One of {@link ASSURANCE_LEVELS}. */
export type Assurance = (typeof ASSURANCE_LEVELS)[number]

/** What the issuer found out about the workload when it issued the credential. */
export interface AttestedFacts {
  readonly assurance: Assurance
  /** Types of evidence, e.g. `tpm`, `unix`. */
  readonly types: readonly string[]
  /** What the agent was made of, as its launcher stated and the issuer allowed it. */
  readonly manifest?: {
    /** SHA-256 of the signed manifest, hex. */
    readonly hash: string
    readonly model?: string
    /** Names of tools. */
    readonly tools: readonly string[]
    readonly mcpServers: readonly string[]
  }
}

/**
 * The claim of a WIT that carries {@link AttestedFacts}. RFC 7519 asks for a name that cannot collide; a UUID is one that
 * no registry, host name or owner is needed for. Verifiers that do not know the claim ignore it.
 *
 * @see RFC 7519 section 4.2
 */
export const ATTESTATION_CLAIM = 'urn:uuid:cfbd0f02-9074-49b3-b935-19156af031d9'

/**
 * Reads the claim from a token whose signature has been checked; `undefined` without it.
 *
 * @throws {@link AimsError} `credential.invalid_claim`
 */
export function readAttestedFacts(claims: JsonObject): AttestedFacts | undefined {
  const value = claims[ATTESTATION_CLAIM]
  if (value === undefined) return undefined
  if (!isJsonObject(value)) throw invalid()
  const assurance = ASSURANCE_LEVELS.find((level) => level === value.assurance)
  if (assurance === undefined) throw invalid()
  const { manifest } = value
  const facts = { assurance, types: texts(value.types) }
  return Object.freeze(manifest === undefined ? facts : { ...facts, manifest: readManifest(manifest) })
}

function readManifest(value: JsonValue): NonNullable<AttestedFacts['manifest']> {
  if (!isJsonObject(value)) throw invalid()
  const { hash, model } = value
  if (typeof hash !== 'string' || (model !== undefined && typeof model !== 'string')) throw invalid()
  const parts = { tools: texts(value.tools), mcpServers: texts(value.mcpServers) }
  return Object.freeze({ hash, ...(model === undefined ? {} : { model }), ...parts })
}

function texts(value: JsonValue | undefined): readonly string[] {
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string')) throw invalid()
  return Object.freeze([...value])
}

function invalid(): AimsError {
  return new AimsError('credential.invalid_claim', 'the claim about attestation is malformed')
}
