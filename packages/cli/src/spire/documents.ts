import { isJsonObject, type JsonObject, type JsonValue, parseJson } from 'aims/base'
import { UsageError } from '../exit.ts'
import { FLEET } from '../input.ts'

/** What `spire-server ... -output json` and `bundle ... -format spiffe` printed, put together. */
export interface SpireDocuments {
  readonly entries: readonly JsonObject[]
  readonly agents: readonly JsonObject[]
  /** SPIFFE bundles as text, by trust domain; those of `bundle show` have none. */
  readonly bundles: readonly { readonly trustDomain?: string; readonly text: string }[]
}

/** Tells what a file is and reads it. @throws {@link UsageError} naming the file, `json.*` */
export function readSpireDocument(text: string, file: string): SpireDocuments {
  const nothing: SpireDocuments = { entries: [], agents: [], bundles: [] }
  if (text.startsWith('***')) return { ...nothing, bundles: listedBundles(text, file) }
  const document = parseJson(text, FLEET)
  if (!isJsonObject(document)) throw unknown(file)
  const { entries, agents, keys, id, bundles } = document
  if (bundles !== undefined)
    throw new UsageError(`${file}: print bundles with -format spiffe, and without -output json`)
  if (keys !== undefined) return { ...nothing, bundles: [{ text }] }
  if (entries !== undefined) return { ...nothing, entries: objects(entries, file) }
  if (agents !== undefined) return { ...nothing, agents: objects(agents, file) }
  // One entry by its id is printed alone.
  if (id !== undefined && document.spiffe_id !== undefined) return { ...nothing, entries: [document] }
  throw unknown(file)
}

// Each bundle has a line with its trust domain between two lines of stars.
function listedBundles(text: string, file: string): SpireDocuments['bundles'] {
  return text
    .split(/^\*+\n\* /m)
    .slice(1)
    .map((part) => {
      const [, name, body] = /^(?:spiffe:\/\/)?([^\s/]+)\s*\n\*+\n([\s\S]*)$/.exec(part) ?? []
      if (name === undefined || body === undefined) throw unknown(file)
      if (!body.trimStart().startsWith('{')) throw new UsageError(`${file}: print bundles with -format spiffe`)
      return { trustDomain: name, text: body }
    })
}

function objects(value: JsonValue, file: string): readonly JsonObject[] {
  if (!Array.isArray(value) || !value.every(isJsonObject)) throw unknown(file)
  return value
}

function unknown(file: string): UsageError {
  return new UsageError(
    `${file}: this is none of entry show -output json, agent list -output json, bundle show or bundle list -format spiffe`,
  )
}
