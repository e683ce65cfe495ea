import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../../base/json.ts'
import { importVerificationKey, type VerificationKey } from '../../base/keys.ts'
import { flag, malformed, readPolicyFields, textList, wordsOf } from '../appraisal/policy-fields.ts'
import type { AttestationResult } from '../attestor.ts'
import { isVerifiedManifest, type ManifestPart, type VerifiedManifest } from './manifest.ts'

/** What an entry asks of the manifest of its agent. Made by {@link readManifestPolicy}. */
export interface ManifestPolicy {
  /** Who may sign. */
  readonly launchers: readonly VerificationKey[]
  /** Allowed values; absent: any. */
  readonly models: readonly string[] | undefined
  readonly promptTemplates: readonly string[] | undefined
  readonly code: readonly string[] | undefined
  /** Allowed digests by name; a tool or server that is not listed is a change. Absent: any. */
  readonly tools: ReadonlyMap<string, readonly string[]> | undefined
  readonly mcpServers: ReadonlyMap<string, readonly string[]> | undefined
  /** What a changed or unknown tool or server does: stop issuance, or leave it out of the credential. */
  readonly onChange: 'refuse' | 'narrow'
  /** Accepts a manifest beside bearer evidence alone, which binds none: then whoever has both may show them. Default false. */
  readonly acceptUnbound: boolean
}

/** What goes into the credential. */
export interface AcceptedManifest {
  /** SHA-256 of the signed manifest, hex. */
  readonly hash: string
  readonly model: string | undefined
  /** Names. */
  readonly tools: readonly string[]
  readonly mcpServers: readonly string[]
  /** Names that were presented and left out. */
  readonly dropped: readonly string[]
}

/**
 * Reads a manifest policy, e.g. `{"launchers":[JWK],"models":["vendor/model-4"],"tools":{"create_event":["sha256:..."]}}`.
 *
 * @throws {@link AimsError} `attestation.policy_malformed`
 */
export function readManifestPolicy(document: JsonObject): ManifestPolicy {
  return readPolicyFields<ManifestPolicy>(document, {
    launchers: readLaunchers,
    models: textList,
    promptTemplates: textList,
    code: textList,
    tools: readDigests,
    mcpServers: readDigests,
    onChange: (value, name) => wordsOf(['refuse', 'narrow'] as const, ['refuse'])(value, name)[0] ?? 'refuse',
    acceptUnbound: flag(false),
  })
}

/**
 * Compares a manifest with a policy. What the model, the prompt or the code is must be allowed; a changed tool or MCP
 * server stops issuance or is left out, as the policy says.
 *
 * @throws {@link AimsError} `attestation.measurement_mismatch`
 */
export function appraiseManifest(manifest: VerifiedManifest, policy: ManifestPolicy): AcceptedManifest {
  if (!isVerifiedManifest(manifest)) throw new TypeError('only verifyManifest makes a verified manifest')
  requireOneOf('model', manifest.model?.id, policy.models)
  requireOneOf('prompt template', manifest.promptTemplate, policy.promptTemplates)
  requireOneOf('code', manifest.code, policy.code)
  const tools = divide(manifest.tools, policy.tools)
  const servers = divide(manifest.mcpServers, policy.mcpServers)
  const dropped = [...tools.changed, ...servers.changed]
  if (dropped.length > 0 && policy.onChange === 'refuse') {
    throw new AimsError('attestation.measurement_mismatch', `${dropped.length} tools or MCP servers are not as allowed`)
  }
  return {
    hash: manifest.hash.toString('hex'),
    model: manifest.model?.id,
    tools: tools.kept,
    mcpServers: servers.kept,
    dropped,
  }
}

/**
 * Refuses a manifest that no piece of the evidence binds, unless the policy accepts that.
 *
 * @param results - Of evidence for the challenge that names this manifest.
 * @throws {@link AimsError} `attestation.binding_missing`
 */
export function requireBoundManifest(results: readonly AttestationResult[], { acceptUnbound }: ManifestPolicy): void {
  if (acceptUnbound || results.some(({ binding }) => binding !== 'none')) return
  throw new AimsError('attestation.binding_missing', 'no piece of the evidence binds the manifest to its agent')
}

function requireOneOf(what: string, found: string | undefined, allowed: readonly string[] | undefined): void {
  if (allowed === undefined || (found !== undefined && allowed.includes(found))) return
  throw new AimsError('attestation.measurement_mismatch', `the ${what} of the manifest is not an allowed one`)
}

function divide(
  parts: readonly ManifestPart[],
  allowed: ReadonlyMap<string, readonly string[]> | undefined,
): { readonly kept: readonly string[]; readonly changed: readonly string[] } {
  const isKept = ({ name, digest }: ManifestPart): boolean =>
    allowed?.get(name)?.includes(digest) ?? allowed === undefined
  return {
    kept: parts.filter(isKept).map(({ name }) => name),
    changed: parts.filter((part) => !isKept(part)).map(({ name }) => name),
  }
}

function readLaunchers(value: JsonValue | undefined, name: string): readonly VerificationKey[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > 8) throw malformed(name, 'takes 1 to 8 public JWKs')
  return value.map((jwk: JsonValue) => {
    if (!isJsonObject(jwk)) throw malformed(name, 'takes public JWKs')
    try {
      return importVerificationKey(jwk)
    } catch (cause) {
      if (AimsError.is(cause))
        throw new AimsError('attestation.policy_malformed', `${name} takes public JWKs`, { cause })
      throw cause
    }
  })
}

function readDigests(value: JsonValue | undefined, name: string): ReadonlyMap<string, readonly string[]> | undefined {
  if (value === undefined) return undefined
  if (!isJsonObject(value)) throw malformed(name, 'takes an object of digests by name')
  return new Map(Object.entries(value).map(([one, digests]) => [one, textList(digests, name) ?? []]))
}
