import { isAbsolute } from 'node:path'
import { isJsonObject, type JsonObject, type JsonValue } from 'aims/base'

/** One setting of a type of evidence: how it is read, and what holds when it is absent. */
export interface Field<T> {
  /** For the documentation. */
  readonly form: string
  readonly absent: string
  readonly doc: string
  /** @throws {@link Error} with the reason, lower case, without the value */
  read(value: JsonValue): T
}

/** The settings of a type, by name. */
export type Fields = { readonly [name: string]: Field<unknown> }

/** What the settings say. Absent members are absent. */
export type Values<F extends Fields> = { readonly [Name in keyof F]?: F[Name] extends Field<infer T> ? T : never }

/** Reads settings by their table. Unknown members are refused. @throws {@link Error} naming the setting */
export function readFields<F extends Fields>(settings: JsonObject, fields: F): Values<F> {
  const values: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(settings)) {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (field === undefined) throw new Error(`settings are ${Object.keys(fields).join(', ') || 'none'}`)
    try {
      values[name] = field.read(value ?? null)
    } catch (cause) {
      throw new Error(`"${name}": ${cause instanceof Error ? cause.message : 'not usable'}`, { cause })
    }
  }
  return values as Values<F>
}

type Words = readonly [absent: string, doc: string]

/** Non-empty text. */
export function textField(...[absent, doc]: Words): Field<string> {
  return { form: 'text', absent, doc, read: readText }
}

/** A path from the root on: the settings of types know no directory they would start from. */
export function pathField(...[absent, doc]: Words): Field<string> {
  return {
    form: 'absolute path',
    absent,
    doc,
    read: (value) => {
      const path = readText(value)
      if (!isAbsolute(path)) throw new Error('an absolute path is needed')
      return path
    },
  }
}

/** `https://HOST` or `https://HOST:PORT`. */
export function originField(...[absent, doc]: Words): Field<string> {
  return {
    form: 'https://HOST:PORT',
    absent,
    doc,
    read: (value) => {
      const text = readText(value)
      const { protocol, origin } = URL.canParse(text) ? new URL(text) : { protocol: '', origin: '' }
      if (protocol !== 'https:' || origin !== text) throw new Error('https://HOST or https://HOST:PORT is needed')
      return origin
    },
  }
}

export function flagField(...[absent, doc]: Words): Field<boolean> {
  return {
    form: 'true or false',
    absent,
    doc,
    read: (value) => {
      if (typeof value !== 'boolean') throw new Error('true or false is needed')
      return value
    },
  }
}

/** A list of one or more texts; with `allowed`, of these only. */
export function listField<T extends string>(absent: string, doc: string, allowed?: readonly T[]): Field<readonly T[]> {
  return {
    form: allowed === undefined ? 'list' : `list of ${allowed.join(', ')}`,
    absent,
    doc,
    read: (value) => {
      const texts = readList(value)
      const isAllowed = (text: string): text is T => allowed === undefined || allowed.some((one) => one === text)
      if (!texts.every(isAllowed)) throw new Error(`a list of ${allowed?.join(', ')} is needed`)
      return texts
    },
  }
}

/** SHA-256 fingerprints in hex, with or without colons. */
export function fingerprintsField(...[absent, doc]: Words): Field<ReadonlySet<string>> {
  return {
    form: 'list of SHA-256 in hex',
    absent,
    doc,
    read: (value) => {
      const fingerprints = readList(value).map((text) => text.replaceAll(':', '').toLowerCase())
      if (!fingerprints.every((text) => /^[0-9a-f]{64}$/.test(text))) throw new Error('SHA-256 in hex is needed')
      return new Set(fingerprints)
    },
  }
}

/** Settings by a name of the operator's choice. */
export function namedField<F extends Fields>(
  absent: string,
  doc: string,
  fields: F,
): Field<{ readonly [name: string]: Values<F> }> {
  return {
    form: `map from name to ${Object.keys(fields)
      .map((name) => `\`${name}\``)
      .join(', ')}`,
    absent,
    doc,
    read: (value) => {
      if (!isJsonObject(value)) throw new Error('a map by name is needed')
      return Object.fromEntries(
        Object.entries(value).map(([name, settings]) => {
          if (!isJsonObject(settings)) throw new Error('a map by name is needed')
          return [name, readFields(settings, fields)]
        }),
      )
    },
  }
}

function readText(value: JsonValue): string {
  if (typeof value !== 'string' || value === '' || /\p{Cc}/u.test(value)) throw new Error('a text is needed')
  return value
}

function readList(value: JsonValue): readonly string[] {
  if (!Array.isArray(value) || value.length === 0) throw new Error('a list with something in it is needed')
  return value.map(readText)
}
