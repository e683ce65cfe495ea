import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, parseJson } from '../../base/json.ts'
import type { Exchange, ExchangeRequest, ExchangeResponse } from '../exchange.ts'

const LIMITS = { maxLength: 4 * 1024 * 1024, maxDepth: 64, maxMembers: 200_000 }

/** Who is asked, for messages, and the code of whatever goes wrong. */
export interface Platform {
  readonly name: string
  readonly code: AimsErrorCode
}

/**
 * Sends a request to the API of a platform. Any trouble, and any status that is not among those wanted, is refused with
 * the code of the platform; the message never holds what it answered.
 */
export async function askPlatform(
  exchange: Exchange,
  request: ExchangeRequest,
  { name, code }: Platform,
  statuses: readonly number[] = [200],
): Promise<ExchangeResponse> {
  let response: ExchangeResponse
  try {
    response = await exchange(request)
  } catch (cause) {
    throw new AimsError(code, `${name} does not answer as wanted`, { cause })
  }
  if (!statuses.includes(response.status)) throw new AimsError(code, `${name} answers status ${response.status}`)
  return response
}

/** Reads an answer that must be a JSON object. */
export function readJsonAnswer(body: Uint8Array, { name, code }: Platform): JsonObject {
  try {
    const value = parseJson(body, LIMITS)
    if (isJsonObject(value)) return value
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
  }
  throw new AimsError(code, `${name} does not answer with a JSON object`)
}

/** The token in an answer, as evidence. */
export function tokenBytes(value: unknown, { name }: Pick<Platform, 'name'>): Uint8Array {
  if (typeof value !== 'string' || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(value)) {
    throw new AimsError('attestation.collection_failed', `${name} does not answer with a token`)
  }
  return Buffer.from(value)
}
