import type { IncomingMessage, ServerResponse } from 'node:http'
import { sha256Base64url } from '../../base/bytes.ts'
import type { JsonObject } from '../../base/json.ts'

/**
 * Serves the card of an agent, to everybody: for `/.well-known/agent-card.json`, with node:http, node:https or Express. Asks
 * for the card each time, so that it is as fresh as its WIT; clients ask again by its `ETag`.
 *
 * The handler of the official SDK writes the members of its own objects, which are not those of A2A, and of what was signed.
 *
 * @see A2A 1.0, section "Agent Card caching"
 */
export function agentCardListener(
  card: () => JsonObject,
): (request: IncomingMessage, response: ServerResponse) => void {
  return ({ method, headers }, response) => {
    if (method !== 'GET' && method !== 'HEAD') return void response.writeHead(405, { allow: 'GET, HEAD' }).end()
    const body = JSON.stringify(card())
    const etag = `"${sha256Base64url(body)}"`
    const fields = { 'content-type': 'application/json', 'cache-control': 'no-cache', etag }
    if (headers['if-none-match'] === etag) response.writeHead(304, fields).end()
    else response.writeHead(200, fields).end(method === 'GET' ? body : undefined)
  }
}
