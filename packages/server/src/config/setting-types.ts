import { resolve } from 'node:path'
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from 'aims/base'
import { PROFILES, type Profile } from 'aims/credentials'
import { parseTrustDomain, parseWorkloadSpiffeId, type SpiffeId, type TrustDomain } from 'aims/identifiers'

/** Reads one kind of value. */
export interface SettingType<T> {
  /** For the documentation. */
  readonly name: string
  /**
   * @param value - From the file, or from {@link fromText}.
   * @param base - The directory that relative paths start from.
   * @throws {@link Error} with the reason, lower case, without the value
   */
  read(value: JsonValue, base: string): T
  /** The value as it stands in an environment variable. Default: the text itself. */
  fromText?(text: string): JsonValue
  /** A value as the documentation shows it. Default: as text. */
  print?(value: T): string
}

/** A compatibility profile and the time, in seconds since the epoch, after which it is refused. */
export interface EnabledProfile {
  readonly profile: Profile
  readonly until: number
}

export const trustDomainName: SettingType<TrustDomain> = {
  name: 'trust domain',
  read: (value) => parseTrustDomain(readText(value)),
}

export const text: SettingType<string> = { name: 'text', read: readText }

export const path: SettingType<string> = {
  name: 'path',
  read: (value, base) => resolve(base, readText(value)),
}

export const optionalText: SettingType<string | undefined> = {
  name: 'text or null',
  read: (value) => (value === null ? undefined : readText(value)),
}

/** A path, from the directory of the file, or none. */
export const optionalPath: SettingType<string | undefined> = {
  name: 'path or null',
  read: (value, base) => (value === null ? undefined : resolve(base, readText(value))),
}

export const port: SettingType<number> = {
  name: 'port',
  fromText: toNumber,
  read: (value) => readInteger(value, 0, 65_535),
}

export const optionalPort: SettingType<number | undefined> = {
  name: 'port or null',
  fromText: toNumber,
  read: (value) => (value === null ? undefined : readInteger(value, 0, 65_535)),
}

/** So many a second; 0 is no limit. */
export const rate: SettingType<number> = {
  name: 'number a second',
  fromText: toNumber,
  read: (value) => readInteger(value, 0, 1_000_000),
}

/** Permissions of a socket, in octal as people write them. YAML reads 0660 as a decimal number, so the quotes matter. */
export const fileMode: SettingType<number> = {
  name: 'octal mode, quoted',
  read: (value) => {
    if (typeof value !== 'string' || !/^0?[0-7]{3}$/.test(value))
      throw new Error('an octal mode in quotes, such as "0660"')
    return Number.parseInt(value, 8)
  },
  print: (value) => value.toString(8).padStart(4, '0'),
}

/** Unix user ids. */
export const uids: SettingType<readonly number[]> = {
  name: 'list of user ids',
  fromText: (value) => toList(value).map(toNumber),
  read: (value) => readList(value).map((one) => readInteger(one, 0, 4_294_967_294)),
}

/** Beginnings of the paths of SPIFFE IDs, each with a slash at both ends so that `/team-a/` is not `/team-ab`. */
export const idPrefixes: SettingType<readonly string[]> = {
  name: 'list of path prefixes',
  fromText: toList,
  read: (value) => readList(value).map(readIdPrefix),
}

/** @throws {@link Error} */
function readIdPrefix(value: JsonValue): string {
  const prefix = readText(value)
  if (!/^\/(?:[A-Za-z0-9._-]+\/)*$/.test(prefix)) throw new Error('a path with a slash at both ends, such as /agent/')
  return prefix
}

export const hostNames: SettingType<readonly string[]> = {
  name: 'list of host names',
  fromText: toList,
  read: (value) =>
    readList(value).map((one) => {
      const name = readText(one)
      if (!/^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/.test(name)) throw new Error('a lower-case host name is needed')
      return name
    }),
}

/** Names of environment variables. */
export const variableNames: SettingType<readonly string[]> = {
  name: 'list of names',
  fromText: toList,
  read: (value) =>
    readList(value).map((one) => {
      const name = readText(one)
      if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) throw new Error('the name of an environment variable is needed')
      return name
    }),
}

/** Seconds, written as a number or as `90s`, `5m`, `1h`, `7d`. */
export const duration: SettingType<number> = {
  name: 'duration',
  fromText: toNumber,
  read: (value) => {
    if (typeof value === 'number') return readInteger(value, 1, 315_360_000)
    const match = typeof value === 'string' ? /^([1-9][0-9]{0,8})([smhd])$/.exec(value) : null
    if (match === null) throw new Error('a duration is needed, such as 90s, 5m, 1h, 7d')
    return readInteger(Number(match[1]) * (SECONDS[match[2] ?? ''] ?? 0), 1, 315_360_000)
  },
}

/** Seconds as those of {@link duration}, or none. */
export const optionalDuration: SettingType<number | undefined> = {
  name: 'duration or null',
  fromText: toNumber,
  read: (value, base) => (value === null ? undefined : duration.read(value, base)),
}

const SECONDS: { readonly [unit: string]: number } = { s: 1, m: 60, h: 3600, d: 86_400 }

/** A whole number within bounds. */
export function integer(min: number, max: number): SettingType<number> {
  return { name: 'whole number', fromText: toNumber, read: (value) => readInteger(value, min, max) }
}

/** Compatibility profiles with the day after which they are off again, e.g. `aims-00: 2027-03-31`. */
export const profiles: SettingType<readonly EnabledProfile[]> = {
  name: 'map from profile to last day',
  fromText: (value) => Object.fromEntries(toList(value).map((one) => one.split('=', 2))),
  read: (value) => {
    if (!isJsonObject(value)) throw new Error('a map is needed, from profile to last day')
    return Object.entries(value).map(([name, day]) => {
      const profile = PROFILES.find((one) => one === name && one !== 'wimse')
      if (profile === undefined) {
        throw new Error(`profiles to enable are ${PROFILES.filter((one) => one !== 'wimse').join(', ')}`)
      }
      const start = typeof day === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(day) ? Date.parse(day) : Number.NaN
      if (Number.isNaN(start)) throw new Error(`the last day of ${profile} is needed, as YYYY-MM-DD`)
      return { profile, until: start / 1000 + 86_400 }
    })
  },
}

/** An object whose members somebody else reads. */
export const objectByName: SettingType<JsonObject> = {
  name: 'map from name to settings',
  fromText: (value) => parseJson(value),
  read: (value) => {
    if (!isJsonObject(value)) throw new Error('a map is needed, from name to settings')
    return value
  },
  print: (value) => JSON.stringify(value),
}

/** SPIFFE IDs of workloads. */
export const spiffeIds: SettingType<readonly SpiffeId[]> = {
  name: 'list of SPIFFE IDs',
  fromText: toList,
  read: (value) => readList(value).map((one) => parseWorkloadSpiffeId(readText(one))),
}

/** Yes or no. */
export const flag: SettingType<boolean> = {
  name: 'true or false',
  fromText: (value) => (value === 'true' ? true : value === 'false' ? false : value),
  read: (value) => {
    if (typeof value !== 'boolean') throw new Error('true or false is needed')
    return value
  },
}

/** One of a few words. */
export function oneOf<const Word extends string>(...words: readonly Word[]): SettingType<Word> {
  return {
    name: words.map((word) => `\`${word}\``).join(' or '),
    read: (value) => {
      const word = words.find((one) => one === value)
      if (word === undefined) throw new Error(`one of ${words.join(', ')} is needed`)
      return word
    },
  }
}

function readText(value: JsonValue): string {
  if (typeof value !== 'string' || value === '' || /\p{Cc}/u.test(value)) throw new Error('a text is needed')
  return value
}

function readInteger(value: JsonValue, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
    throw new Error(`an integer from ${min} to ${max} is needed`)
  }
  return value
}

function readList(value: JsonValue): readonly JsonValue[] {
  if (!Array.isArray(value)) throw new Error('a list is needed')
  return value
}

function toList(value: string): string[] {
  return value === '' ? [] : value.split(',').map((one) => one.trim())
}

function toNumber(value: string): string | number {
  return /^\d{1,15}$/.test(value) ? Number(value) : value
}
