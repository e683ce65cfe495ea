import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { AttestationType, EvidenceVerifier, EvidenceVerifiers } from 'aims/attestation'
import { AimsError, isJsonObject, type JsonObject } from 'aims/base'
import type { BundleSource } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import type { EvidenceMemory } from '../store/evidence-memory.ts'
import { VERIFIER_TYPES } from './verifier-types.ts'

/** What verifiers get from the server they work in. */
export interface VerifierSurroundings {
  /** Where collateral is when a type names no directory of its own. */
  readonly collateral: string
  readonly memory: EvidenceMemory
  /** The own one. */
  readonly trustDomain: TrustDomain
  /** Bundles of other trust domains as they are held now. */
  readonly bundles: BundleSource
  readonly env: { readonly [name: string]: string | undefined }
}

/** A type of evidence that a configuration switches on, and the collateral it lacks for all evidence. */
export interface SwitchedOn {
  readonly type: AttestationType
  readonly lacks?: string
  /** Where its collateral is. */
  readonly directory: string
}

/**
 * Makes the verifiers that the configuration switches on as a server would, and keeps none of them: for looking at a
 * configuration before a server starts with it.
 *
 * @throws {@link AimsError} `operation.config_invalid`, naming the key
 */
export function examineVerifiers(
  settings: JsonObject,
  { dataDirectory, trustDomain }: { readonly dataDirectory: string; readonly trustDomain: TrustDomain },
): readonly SwitchedOn[] {
  const memory: EvidenceMemory = { get: () => undefined, set: () => undefined }
  const collateral = join(dataDirectory, 'collateral')
  const bundles: BundleSource = { bundleFor: () => undefined }
  const types = [...createVerifiers(settings, { collateral, memory, trustDomain, bundles, env: process.env }).keys()]
  return types.map((type) => {
    const own = settings[type]
    const directory = isJsonObject(own) && typeof own.collateral === 'string' ? own.collateral : collateral
    const files = (NEEDED[type] ?? []).map((name) => join(directory, name))
    const isThere = files.length === 0 || files.some((file) => existsSync(file))
    return { type, directory, ...(isThere ? {} : { lacks: files.join(' or ') }) }
  })
}

/** Collateral without which a type accepts no evidence: one of these. */
const NEEDED: { readonly [Type in AttestationType]?: readonly string[] } = {
  sgx: ['intel/root-ca-crl.der'],
  tdx: ['intel/root-ca-crl.der'],
  'aws-iid': ['aws/iid'],
  azure: ['azure/ca.pem'],
  gcp: ['gcp/jwks.json'],
  github: ['github/jwks.json'],
}

/**
 * Makes the verifiers that the configuration switches on.
 *
 * @throws {@link AimsError} `operation.config_invalid`, naming the key
 */
export function createVerifiers(settings: JsonObject, surroundings: VerifierSurroundings): EvidenceVerifiers {
  const verifiers = new Map<AttestationType, EvidenceVerifier>()
  for (const [name, value] of Object.entries(settings)) {
    const found = VERIFIER_TYPES.find(({ type }) => type === name)
    if (found === undefined) {
      const known = VERIFIER_TYPES.map(({ type }) => type).join(', ')
      const why =
        name === 'join-token' ? 'join tokens are always accepted: take it out' : `no such type; there are ${known}`
      throw new AimsError('operation.config_invalid', `"attestation.${name}": ${why}`)
    }
    if (!isJsonObject(value)) {
      const fix = 'its settings are needed, or {} where it has none'
      throw new AimsError('operation.config_invalid', `"attestation.${name}": ${fix}`)
    }
    try {
      verifiers.set(found.type, found.create(value, surroundings))
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'not usable'
      throw new AimsError('operation.config_invalid', `"attestation.${name}": ${reason}`, { cause })
    }
  }
  return verifiers
}
