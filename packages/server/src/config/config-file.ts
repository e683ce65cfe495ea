import type { JsonValue } from 'aims/base'
import { AimsError } from 'aims/base'
import type { Pair, YAMLMap } from 'yaml'
import { parseStrictYaml } from './strict-yaml.ts'

/** A value that somebody configured, and where. */
export interface Value {
  readonly value: JsonValue
  /** `FILE:LINE:COLUMN`, or the name of an environment variable. */
  readonly where: string
  /** The directory that relative paths start from. */
  readonly base: string
}

/** The file, and which keys it may have. */
export interface ConfigFile {
  readonly file: string
  readonly base: string
  isKey(key: string): boolean
  /** True for `listen` when there is a key `listen.port`. */
  isGroup(key: string): boolean
}

/**
 * Reads nested settings from YAML 1.2 or JSON into a flat map by dotted key. Anchors, aliases and tags are refused:
 * a configuration says what it means at the place where it stands. Does not look at the values.
 *
 * @throws {@link AimsError} `operation.config_invalid`, with file, line and column
 */
export async function readConfigFile(text: string, file: ConfigFile): Promise<Map<string, Value>> {
  const { isMap, isScalar } = await import('yaml')
  const refuse = (where: string, reason: string): AimsError =>
    new AimsError('operation.config_invalid', `${where}: ${reason}`)
  const [doc, second] = await parseStrictYaml(text, file.file, refuse)
  const settings = new Map<string, Value>()
  if (doc === undefined || doc.contents === null) return settings
  const { contents, at } = doc
  const invalid = (range: Parameters<typeof at>[0], reason: string): AimsError => refuse(at(range), reason)
  if (second !== undefined) throw invalid(second.contents?.range, 'one document is a configuration')
  if (!isMap(contents)) throw invalid(contents.range, 'a map of settings is needed')
  const collect = (map: YAMLMap, prefix: string): void => {
    for (const pair of map.items as readonly Pair[]) {
      if (!isScalar(pair.key) || typeof pair.key.value !== 'string') throw invalid(map.range, 'a key is not a text')
      const key = prefix + pair.key.value
      const range = pair.key.range
      if (file.isKey(key)) {
        const value = isScalar(pair.value) || pair.value === null ? pair.value : (pair.value as YAMLMap)
        settings.set(key, { value: toJson(value?.toJSON() ?? null), where: at(range), base: file.base })
      } else if (!file.isGroup(key)) throw invalid(range, `${JSON.stringify(key)}: no such key`)
      else if (isMap(pair.value)) collect(pair.value, `${key}.`)
      else throw invalid(range, `${JSON.stringify(key)}: a map is needed`)
    }
  }
  collect(contents, '')
  return settings
}

// The YAML core schema gives JSON values, and bigint only when asked for.
function toJson(value: unknown): JsonValue {
  return value as JsonValue
}
