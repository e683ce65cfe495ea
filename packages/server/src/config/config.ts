import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { JsonValue } from 'aims/base'
import { AimsError } from 'aims/base'
import { readConfigFile, type Value } from './config-file.ts'
import { type Configuration, environmentName, SETTINGS, type Setting } from './settings.ts'

/** Where settings come from, strongest first: overrides, environment, file, defaults. */
export interface ConfigSources {
  /** Path of a YAML or JSON file. */
  readonly file?: string
  /** Variables named `AIMS_...` after the keys; others are ignored. */
  readonly env: { readonly [name: string]: string | undefined }
  /** By key, as they would stand in the file: from the command line. Relative paths start at the working directory. */
  readonly overrides?: { readonly [key: string]: JsonValue }
}

/** Every setting of some program, by its dotted key. Defaults may depend on settings above them. */
export type SettingsTable<C> = { readonly [Key in keyof C]: Setting<C[Key], C> }

/**
 * Reads the configuration and completes it with defaults.
 *
 * @throws {@link AimsError} `operation.config_unreadable`, `operation.config_invalid`; the message names the file with
 *   line and column, or the variable, and the key
 */
export async function loadConfig(sources: ConfigSources): Promise<Configuration> {
  const { config, where } = await loadSettings(SETTINGS, sources)
  checkTogether(config, where)
  return config
}

/**
 * Reads the settings of a table, each for itself, and completes them with defaults.
 *
 * @returns The values, and where each came from, for messages about several of them.
 * @throws {@link AimsError} as {@link loadConfig}
 */
export async function loadSettings<C extends object>(
  table: SettingsTable<C>,
  sources: ConfigSources,
): Promise<{ readonly config: C; where(key: keyof C): string }> {
  const { file, env, overrides = {} } = sources
  const keys = Object.keys(table) as (keyof C & string)[]
  const given = file === undefined ? new Map<string, Value>() : await readFileSettings(file, keys)
  for (const key of keys) {
    const name = environmentName(key)
    const text = env[name]
    if (text !== undefined) {
      given.set(key, { value: table[key].type.fromText?.(text) ?? text, where: name, base: process.cwd() })
    }
  }
  for (const [key, value] of Object.entries(overrides)) {
    if (!Object.hasOwn(table, key)) throw invalid('command line', key, 'no such key')
    given.set(key, { value, where: 'command line', base: process.cwd() })
  }
  const config: Partial<Writable<C>> = {}
  const fill = <Key extends keyof C & string>(key: Key): void => {
    config[key] = readSetting<C[Key], C>(key, table[key], given.get(key), config)
  }
  for (const key of keys) fill(key)
  return { config: config as C, where: (key) => given.get(String(key))?.where ?? 'default' }
}

async function readFileSettings(file: string, keys: readonly string[]): Promise<Map<string, Value>> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new AimsError('operation.config_unreadable', `${file}: cannot be read`, { cause })
  })
  return readConfigFile(text, {
    file,
    base: dirname(resolve(file)),
    isKey: (key) => keys.includes(key),
    isGroup: (key) => keys.some((one) => one.startsWith(`${key}.`)),
  })
}

type Writable<C> = { -readonly [Key in keyof C]: C[Key] }

function readSetting<T, C>(key: string, setting: Setting<T, C>, found: Value | undefined, above: Partial<C>): T {
  const { type, default: fallback } = setting
  if (found === undefined) {
    if (fallback === undefined)
      throw invalid('configuration', key, `a value is needed, in the file or as ${environmentName(key)}`)
    // Defaults depend on settings above them only, and those are complete.
    return 'value' in fallback ? fallback.value : fallback.from(above as C)
  }
  try {
    return type.read(found.value, found.base)
  } catch (cause) {
    throw invalid(found.where, key, cause instanceof Error ? cause.message : 'not a usable value')
  }
}

// What single values cannot tell.
function checkTogether(config: Configuration, where: (key: keyof Configuration) => string): void {
  for (const kind of ['x509', 'jwt', 'wit'] as const) {
    const key = `ttl.${kind}.default` as const
    if (config[key] > config[`ttl.${kind}.max`]) throw invalid(where(key), key, `more than ttl.${kind}.max`)
  }
  if (config['agents.ttl'] > config['ttl.x509.max'])
    throw invalid(where('agents.ttl'), 'agents.ttl', 'more than ttl.x509.max')
  for (const { registrar } of config['entries.delegations']) {
    if (registrar.startsWith('unix:') || registrar.startsWith(`spiffe://${config.trustDomain}/`)) continue
    throw invalid(where('entries.delegations'), 'entries.delegations', 'a registrar is in another trust domain')
  }
  if ('spire' in config['keys.upstream'] && config['keys.downstreamTtl'] !== undefined) {
    throw invalid(where('keys.downstreamTtl'), 'keys.downstreamTtl', 'no servers below one that is below SPIRE')
  }
  const longest = Math.max(config['ttl.x509.max'], config['ttl.jwt.max'], config['ttl.wit.max'])
  if (config['keys.lifetime'] < 4 * longest) {
    throw invalid(where('keys.lifetime'), 'keys.lifetime', 'less than four times the longest credential (ttl.*.max)')
  }
  for (const key of ['bundle.web.certificateFile', 'bundle.web.keyFile'] as const) {
    if (config['bundle.web.port'] !== undefined && config[key] === undefined) {
      throw invalid(where('bundle.web.port'), key, 'needed for bundle.web.port')
    }
  }
  if (config.federation.some(({ input }) => input.trustDomain === config.trustDomain)) {
    throw invalid(where('federation'), 'federation', 'names the own trust domain')
  }
  if (config['keys.lifetime'] < 4 * config['keys.publishAhead']) {
    throw invalid(where('keys.publishAhead'), 'keys.publishAhead', 'more than a quarter of keys.lifetime')
  }
}

function invalid(where: string, key: string, reason: string): AimsError {
  return new AimsError('operation.config_invalid', `${where}: ${JSON.stringify(key)}: ${reason}`)
}
