import { sha256 } from '../../base/bytes.ts'
import { requireTime } from '../../base/clock.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { decodeUnverifiedJws, signJws, verifyJws } from '../../base/jose.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'
import type { Signer, VerificationKey } from '../../base/keys.ts'
import { createSealer, type Sealed } from '../../base/seal.ts'

/** `sha256:` and 64 lower-case hex digits. */
export type ContentDigest = `sha256:${string}`

/** Something with a name whose content is fixed by a digest: a tool by its schema, an MCP server by its description. */
export interface ManifestPart {
  readonly name: string
  readonly digest: ContentDigest
}

/**
 * What an agent is made of, as its launcher states it when it starts the agent. It says what was put in, not what the
 * agent does with it.
 */
export interface Manifest {
  /** The model's identifier, e.g. `vendor/model-4`, and the digest of its weights or of its provider's version string. */
  readonly model?: { readonly id: string; readonly digest?: ContentDigest }
  readonly promptTemplate?: ContentDigest
  /** Each tool by the digest of its name, description and schema in canonical JSON (RFC 8785). */
  readonly tools: readonly ManifestPart[]
  readonly mcpServers: readonly ManifestPart[]
  readonly code?: ContentDigest
}

/** A manifest whose launcher's signature has been checked. Only {@link verifyManifest} makes one. */
export interface VerifiedManifest extends Sealed<'VerifiedManifest'>, Manifest {
  /** SHA-256 of the signed text: what evidence is bound to. */
  readonly hash: Buffer
  /** Seconds since the epoch. */
  readonly issuedAt: number
}

const TYP = 'aims-manifest+jwt'
const DIGEST = /^sha256:[0-9a-f]{64}$/
const MAX_PARTS = 256
/** The time a manifest is good for: an agent is launched and attested at once. Seconds. */
const MAX_AGE = 86_400
const MAX_LENGTH = 65_536
const sealer = createSealer<VerifiedManifest>()

/** True for a manifest that {@link verifyManifest} made. */
export function isVerifiedManifest(value: unknown): value is VerifiedManifest {
  return sealer.isSealed(value)
}

/** Signs a manifest with the launcher's key. `now` is in seconds since the epoch. */
export function signManifest(manifest: Manifest, launcher: Signer, now: number): Promise<string> {
  return signJws({ typ: TYP, kid: launcher.kid }, { ...manifest, iat: Math.floor(now) }, launcher)
}

/**
 * Verifies a manifest: form, signature of one of the launchers, age.
 *
 * Does not say whether what it lists is allowed: {@link appraiseManifest} does. Does not show that the agent which
 * presents it was made of it: that is what binding it into hardware evidence is for.
 *
 * @throws {@link AimsError} `attestation.malformed`, `.invalid_signature`, `.expired`, `.not_yet_valid`
 */
export function verifyManifest(
  token: string,
  expected: { readonly launchers: readonly VerificationKey[]; readonly now: number },
): VerifiedManifest {
  requireTime(expected.now)
  const jws = refuseAs('attestation.malformed', 'the manifest is not a signed manifest', () =>
    decodeUnverifiedJws(token, { typ: [TYP], maxLength: MAX_LENGTH }),
  )
  // A name chooses among several keys; it never adds one.
  const { launchers, now } = expected
  const candidates =
    launchers.length > 1 && jws.kid !== undefined ? launchers.filter((key) => key.kid === jws.kid) : launchers
  if (!candidates.slice(0, 8).some((key) => verifyJws(jws, key))) {
    throw new AimsError('attestation.invalid_signature', 'no launcher of this entry signed the manifest')
  }
  const { iat, ...content } = jws.claims
  if (typeof iat !== 'number') throw malformed('iat is missing')
  if (iat > now + 30) throw new AimsError('attestation.not_yet_valid', 'the manifest is of the future')
  if (now > iat + MAX_AGE) throw new AimsError('attestation.expired', 'the manifest is older than a day')
  return sealer.seal({ ...readManifest(content), hash: sha256(token), issuedAt: iat })
}

function readManifest(content: JsonObject): Manifest {
  for (const name of Object.keys(content)) {
    if (!MEMBERS.has(name)) throw malformed('it has an unknown member')
  }
  const { model, promptTemplate, tools, mcpServers, code } = content
  return {
    ...(model === undefined ? {} : { model: readModel(model) }),
    ...(promptTemplate === undefined ? {} : { promptTemplate: readDigest(promptTemplate) }),
    tools: readParts(tools),
    mcpServers: readParts(mcpServers),
    ...(code === undefined ? {} : { code: readDigest(code) }),
  }
}

const MEMBERS: ReadonlySet<string> = new Set<keyof Manifest>(['model', 'promptTemplate', 'tools', 'mcpServers', 'code'])

function readModel(value: JsonValue): NonNullable<Manifest['model']> {
  if (!isJsonObject(value)) throw malformed('model is no object')
  const { id, digest, ...rest } = value
  if (Object.keys(rest).length > 0) throw malformed('model has an unknown member')
  return { id: readName(id), ...(digest === undefined ? {} : { digest: readDigest(digest) }) }
}

function readParts(value: JsonValue | undefined): readonly ManifestPart[] {
  if (!Array.isArray(value) || value.length > MAX_PARTS) throw malformed('tools and mcpServers are lists')
  const parts = value.map((one: JsonValue): ManifestPart => {
    if (!isJsonObject(one)) throw malformed('a part is no object')
    const { name, digest, ...rest } = one
    if (Object.keys(rest).length > 0) throw malformed('a part has an unknown member')
    return { name: readName(name), digest: readDigest(digest) }
  })
  if (new Set(parts.map(({ name }) => name)).size !== parts.length) throw malformed('two parts have one name')
  return parts
}

function readName(value: JsonValue | undefined): string {
  if (typeof value !== 'string' || value === '' || value.length > 256 || /\p{Cc}/u.test(value)) {
    throw malformed('a name has 1 to 256 characters')
  }
  return value
}

function readDigest(value: JsonValue | undefined): ContentDigest {
  if (typeof value !== 'string' || !DIGEST.test(value)) throw malformed('a digest is sha256: and 64 hex digits')
  return value as ContentDigest
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', `the manifest is malformed: ${message}`)
}
