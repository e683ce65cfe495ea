import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, parseJsonObject } from '../../base/json.ts'
import type { Exchange, ExchangeRequest, ExchangeResponse } from '../exchange.ts'
import { BINDING_HEADER, BODY, CONTENT_TYPE, type StsRequest } from './format.ts'
import { canonicalQuery } from './sigv4.ts'

/** Who AWS says signed a request. */
export interface StsIdentity {
  /** 12 digits. */
  readonly account: string
  /** As AWS answers it, e.g. `arn:aws:sts::123456789012:assumed-role/Role/session`. */
  readonly arn: string
  /** E.g. `AROA...:session`. */
  readonly userId: string
}

const MAX_ANSWER = 16_384
const ACCEPT = { accept: 'application/json' }

/**
 * Has AWS say who signed a request. What is sent is written anew from the parts that were checked: of what the caller
 * sent, nothing is forwarded (N26).
 *
 * @param binding - Value of the binding header: what was asked for, not what was sent.
 * @throws {@link AimsError} `attestation.invalid_signature` when AWS refuses, `attestation.unconfirmed` when it does not
 *   answer as documented
 */
export async function confirmSts(request: StsRequest, binding: string, exchange: Exchange): Promise<StsIdentity> {
  const message = request.form === 'query' ? queryRequest(request, binding) : headerRequest(request, binding)
  let answer: ExchangeResponse
  try {
    answer = await exchange(message)
  } catch (cause) {
    throw new AimsError('attestation.unconfirmed', 'AWS does not answer', { cause })
  }
  if (answer.status === 400 || answer.status === 403) {
    throw new AimsError('attestation.invalid_signature', 'AWS refuses the signed request')
  }
  return readIdentity(answer)
}

function queryRequest(request: StsRequest, binding: string): ExchangeRequest {
  const { endpoint, date, expires, sessionToken, signature } = request
  const query = canonicalQuery({
    Action: 'GetCallerIdentity',
    Version: '2011-06-15',
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': scopeOf(request),
    'X-Amz-Date': date,
    'X-Amz-Expires': String(expires),
    ...(sessionToken === undefined ? {} : { 'X-Amz-Security-Token': sessionToken }),
    'X-Amz-SignedHeaders': `host;${BINDING_HEADER}`,
    'X-Amz-Signature': signature,
  })
  return { method: 'GET', url: `https://${endpoint.host}/?${query}`, headers: { ...ACCEPT, [BINDING_HEADER]: binding } }
}

function headerRequest(request: StsRequest, binding: string): ExchangeRequest {
  const { endpoint, date, sessionToken, signature } = request
  const headers = {
    'content-type': CONTENT_TYPE,
    [BINDING_HEADER]: binding,
    'x-amz-date': date,
    ...(sessionToken === undefined ? {} : { 'x-amz-security-token': sessionToken }),
  }
  const names = ['host', ...Object.keys(headers)].toSorted().join(';')
  const authorization = `AWS4-HMAC-SHA256 Credential=${scopeOf(request)}, SignedHeaders=${names}, Signature=${signature}`
  return {
    method: 'POST',
    url: `https://${endpoint.host}/`,
    headers: { ...ACCEPT, ...headers, authorization },
    body: BODY,
  }
}

function scopeOf({ accessKeyId, date, endpoint }: StsRequest): string {
  return `${accessKeyId}/${date.slice(0, 8)}/${endpoint.region}/sts/aws4_request`
}

function readIdentity({ status, headers, body }: ExchangeResponse): StsIdentity {
  const isJson = /^application\/(?:json|x-amz-json-1\.[01])\s*(?:;|$)/i.test(headers['content-type'] ?? '')
  if (status !== 200 || !isJson || body.length > MAX_ANSWER) throw unconfirmed()
  const answer = refuseAs('attestation.unconfirmed', 'the answer of AWS is not strict JSON', () =>
    parseJsonObject(body),
  )
  const response = answer.GetCallerIdentityResponse
  const result = isJsonObject(response) ? response.GetCallerIdentityResult : undefined
  if (!isJsonObject(result)) throw unconfirmed()
  const { Account: account, Arn: arn, UserId: userId } = result
  if (typeof account !== 'string' || typeof arn !== 'string' || typeof userId !== 'string') throw unconfirmed()
  if (!/^[0-9]{12}$/.test(account) || !/^[!-~]{1,128}$/.test(userId)) throw unconfirmed()
  return { account, arn, userId }
}

function unconfirmed(): AimsError {
  return new AimsError('attestation.unconfirmed', 'the answer of AWS does not say who signed the request')
}
