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

/**
 * Reads the configuration and completes it with defaults.
 *
 * @throws {@link AimsError} `operation.config_unreadable`, `operation.config_invalid`; the message names the file with
 *   line and column, or the variable, and the key
 */
export async function loadConfig(sources: ConfigSources): Promise<Configuration> {
  const { file, env, overrides = {} } = sources
  const given = file === undefined ? new Map<string, Value>() : await readFileSettings(file)
  for (const key of KEYS) {
    const name = environmentName(key)
    const text = env[name]
    if (text !== undefined) {
      given.set(key, { value: SETTINGS[key].type.fromText?.(text) ?? text, where: name, base: process.cwd() })
    }
  }
  for (const [key, value] of Object.entries(overrides)) {
    if (!isKey(key)) throw invalid('command line', key, 'no such key')
    given.set(key, { value, where: 'command line', base: process.cwd() })
  }
  return complete(given)
}

async function readFileSettings(file: string): Promise<Map<string, Value>> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new AimsError('operation.config_unreadable', `${file}: cannot be read`, { cause })
  })
  return readConfigFile(text, { file, base: dirname(resolve(file)), isKey, isGroup })
}

function complete(given: ReadonlyMap<string, Value>): Configuration {
  const config: Partial<Writable> = {}
  const fill = <Key extends keyof Configuration>(key: Key): void => {
    config[key] = readSetting<Configuration[Key]>(key, SETTINGS[key], given.get(key), config)
  }
  for (const key of KEYS) fill(key)
  const complete = config as Configuration
  checkTogether(complete, given)
  return complete
}

type Writable = { -readonly [Key in keyof Configuration]: Configuration[Key] }

function readSetting<T>(key: string, setting: Setting<T>, found: Value | undefined, above: Partial<Configuration>): T {
  const { type, default: fallback } = setting
  if (found === undefined) {
    if (fallback === undefined)
      throw invalid('configuration', key, `a value is needed, in the file or as ${environmentName(key)}`)
    // Defaults depend on settings above them only, and those are complete.
    return 'value' in fallback ? fallback.value : fallback.from(above as Configuration)
  }
  try {
    return type.read(found.value, found.base)
  } catch (cause) {
    throw invalid(found.where, key, cause instanceof Error ? cause.message : 'not a usable value')
  }
}

// What single values cannot tell.
function checkTogether(config: Configuration, given: ReadonlyMap<string, Value>): void {
  const where = (key: keyof Configuration) => given.get(key)?.where ?? 'default'
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

const KEYS = Object.keys(SETTINGS) as readonly (keyof Configuration)[]

function isKey(key: string): key is keyof Configuration {
  return Object.hasOwn(SETTINGS, key)
}

function isGroup(key: string): boolean {
  return KEYS.some((one) => one.startsWith(`${key}.`))
}
