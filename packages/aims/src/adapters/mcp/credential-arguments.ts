import { AimsError } from '../../base/errors.ts'
import { hasSecret } from '../../base/secret-text.ts'
import { isRecord, type McpMessage } from './messages.ts'

/** What a model may never fill. A cursor of a list is named a token as well, and is none. */
const CREDENTIAL_NAMES =
  /(?:token|jwt|jws|authorization|auth|bearer|passw(?:or)?d|passphrase|secret|apikey|accesskey|accesskeyid|privatekey|signingkey|credentials?|cookie|svid)$/
const CURSORS = /(?:page|next|sync|continuation|cancel|progress)token$/
const MAX_DEPTH = 64

/** True for the name of a parameter that asks for a credential: `token`, `access_token`, `X-API-Key`, `authorization`. */
export function isCredentialName(name: string): boolean {
  const plain = name
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '')
  return CREDENTIAL_NAMES.test(plain) && !CURSORS.test(plain)
}

/** The parameters in the schema of a tool, at any depth, that ask for a credential. Leave such a tool out of what a model sees. */
export function credentialParameters(inputSchema: unknown): readonly string[] {
  const found = new Set<string>()
  const look = (schema: unknown, depth: number): void => {
    if (depth > MAX_DEPTH) return
    if (Array.isArray(schema)) for (const one of schema) look(one, depth + 1)
    if (!isRecord(schema)) return
    for (const [keyword, value] of Object.entries(schema)) {
      if (keyword === 'properties' && isRecord(value)) {
        for (const name of Object.keys(value)) if (isCredentialName(name)) found.add(name)
      }
      look(value, depth + 1)
    }
  }
  look(inputSchema, 0)
  return [...found]
}

/**
 * Refuses a message of a client that hands out a credential: in the arguments of a tool or a prompt, or in an answer to
 * what the server has asked the user. By the name of the member, and by what looks like a token or a key.
 *
 * @param accepted - Names of parameters that are filled all the same.
 * @throws {@link AimsError} `mcp.credential_argument`
 */
export function requireNoCredentials({ params, result }: McpMessage, accepted: readonly string[] = []): void {
  // Answers of version 2026-07-28 come with the next request; those of before are responses.
  for (const given of [params?.arguments, params?.inputResponses, result?.content]) {
    check(given, accepted, 0)
  }
}

function check(value: unknown, accepted: readonly string[], depth: number): void {
  if (depth > MAX_DEPTH) throw refused('arguments are nested too deep to be looked through')
  if (typeof value === 'string' && hasSecret(value)) throw refused('an argument looks like a token or a key')
  if (Array.isArray(value)) for (const one of value) check(one, accepted, depth + 1)
  if (!isRecord(value)) return
  for (const [name, member] of Object.entries(value)) {
    if (accepted.includes(name)) continue
    if (isCredentialName(name) && !isEmpty(member)) throw refused('an argument has the name of a credential')
    check(member, accepted, depth + 1)
  }
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === ''
}

function refused(message: string): AimsError {
  return new AimsError('mcp.credential_argument', message)
}
