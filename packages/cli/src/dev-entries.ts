import { type ApiClient, isJsonObject, type JsonObject } from 'aims/base'

/** Registers an entry, or makes the one there is for this SPIFFE ID what it should be. */
export async function ensureEntry(api: ApiClient, wanted: JsonObject): Promise<void> {
  const answer = await api.send({ method: 'GET', path: '/v1/entries' })
  const entries = isJsonObject(answer) && Array.isArray(answer.entries) ? answer.entries.filter(isJsonObject) : []
  const there = entries.find(({ spiffeId }) => spiffeId === wanted.spiffeId)
  if (there === undefined) {
    await api.send({ method: 'POST', path: '/v1/entries', body: wanted })
    return
  }
  const differs = Object.entries(wanted).some(([name, value]) => JSON.stringify(there[name]) !== JSON.stringify(value))
  if (!differs) return
  await api.send({
    method: 'PUT',
    path: `/v1/entries/${String(there.id)}?revision=${String(there.revision)}`,
    body: wanted,
  })
}
