import { asBuffer, sha256Base64url } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, parseJsonObject } from '../../base/json.ts'
import { exportPublicJwk } from '../../base/keys.ts'
import { parsePem } from '../../base/pem.ts'
import { publicKeyFromSpki } from '../../base/spki.ts'
import type { CollateralFile, CollateralSource } from '../collateral.ts'

/** Files under a name that a verifier asks for hold the keys of that issuer and of no other. */
const NAMED = /^(?:gcp|github|azure\/[0-9a-f-]{36}|kubernetes\/[a-z0-9.-]+)\/jwks\.json$/

/**
 * Makes a collateral source of loose files: JWK Sets, single JWKs, and public keys in PEM, all put together as one set that
 * answers to every name that fits. Other files are passed over. For judging by hand; a server keeps the keys of each issuer
 * under their own name.
 *
 * @throws {@link AimsError} `attestation.collateral_malformed`
 */
export function jwksCollateral(names: RegExp, files: readonly CollateralFile[]): CollateralSource {
  const ours = files.filter(({ name }) => !NAMED.test(name) || names.test(name))
  const keys = new Set(ours.flatMap(({ bytes }) => readKeys(bytes)).map((key) => JSON.stringify(key, exact)))
  if (keys.size === 0) return { get: () => undefined }
  const set = Buffer.from(`{"keys":[${[...keys].join(',')}]}`)
  return { get: (name) => (names.test(name) ? set : undefined) }
}

function readKeys(bytes: Uint8Array): readonly JsonObject[] {
  const text = asBuffer(bytes).toString('latin1')
  if (text.includes('-----BEGIN PUBLIC KEY-----')) return readPem(text)
  if (!/^\s*\{[\s\S]*"k(?:eys|ty)"\s*:/.test(text)) return []
  const document = refuseAs('attestation.collateral_malformed', 'a file of keys is not strict JSON', () =>
    parseJsonObject(bytes, { maxLength: 1_048_576 }),
  )
  const keys = document.keys ?? (document.kty === undefined ? [] : [document])
  if (!Array.isArray(keys) || !keys.every(isJsonObject)) throw malformed('a file of keys is not a JWK Set')
  return keys
}

// JSON knows one kind of number, our reader two.
function exact(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}

// The kid that Kubernetes gives to a key: base64url of the SHA-256 of its SubjectPublicKeyInfo.
function readPem(text: string): readonly JsonObject[] {
  const blocks = refuseAs('attestation.collateral_malformed', 'a file of keys is not PEM', () => parsePem(text))
  return blocks
    .filter(({ label }) => label === 'PUBLIC KEY')
    .map(({ bytes }) => {
      const key = publicKeyFromSpki(bytes)
      if (key === undefined) throw malformed('a PEM block is not a usable PUBLIC KEY')
      return { ...exportPublicJwk(key, { kid: sha256Base64url(bytes) }) }
    })
}

function malformed(rule: string): AimsError {
  return new AimsError('attestation.collateral_malformed', rule)
}
