import { AimsError, isJsonObject, type JsonObject, type JsonValue } from 'aims/base'
import type { Node } from 'yaml'
import { parseStrictYaml, type StrictDocument } from '../config/strict-yaml.ts'

/** An entry as it stands in a file. */
export interface FiledEntry {
  readonly entry: JsonObject
  /** `FILE:LINE:COLUMN` of the entry. */
  readonly where: string
  /** Likewise of its members. */
  readonly members: ReadonlyMap<string, string>
}

/**
 * Reads registration entries from YAML 1.2 or JSON: each document is an entry, a list of entries, or a map with nothing
 * but `entries`. Does not look at what the entries say: the server does.
 *
 * @throws {@link AimsError} `provisioning.malformed_file`, with file, line and column
 */
export async function readEntryFile(text: string, file: string): Promise<readonly FiledEntry[]> {
  const { isMap, isScalar, isSeq } = await import('yaml')
  const refuse = (where: string, reason: string): AimsError =>
    new AimsError('provisioning.malformed_file', `${where}: ${reason}`)

  const entryAt = (node: unknown, { at }: StrictDocument): FiledEntry => {
    if (!isMap(node)) {
      const isEmpty = isScalar(node) && node.value === null
      const why = isEmpty
        ? 'an entry is a map, and there is nothing here: take the extra --- or - out'
        : 'an entry is a map'
      throw refuse(at((node as Node | null)?.range), why)
    }
    const members = new Map<string, string>()
    for (const { key } of node.items) {
      if (!isScalar(key) || typeof key.value !== 'string') throw refuse(at(node.range), 'a key is not a text')
      members.set(key.value, at(key.range))
    }
    const entry: unknown = node.toJSON()
    if (!isJsonObject(entry as JsonValue) || !isPlain(entry)) throw refuse(at(node.range), 'a value is none of JSON')
    return { entry: entry as JsonObject, where: at(node.range), members }
  }
  const listAt = (node: unknown, doc: StrictDocument): readonly FiledEntry[] => {
    if (isSeq(node)) return node.items.map((one) => entryAt(one, doc))
    if (!isMap(node) || !node.has('entries')) return [entryAt(node, doc)]
    const list = node.get('entries')
    if (node.items.length > 1) throw refuse(doc.at(node.range), 'beside entries there is nothing else')
    if (!isSeq(list)) throw refuse(doc.at(node.range), 'entries is a list')
    return list.items.map((one) => entryAt(one, doc))
  }
  const documents = await parseStrictYaml(text, file, refuse)
  return documents.flatMap((doc) => (doc.contents === null ? [] : listAt(doc.contents, doc)))
}

// YAML has numbers that JSON has not.
function isPlain(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  return typeof value !== 'object' || value === null || Object.values(value).every(isPlain)
}
