import { resolve } from 'node:path'
import { isJsonObject, type JsonObject, parseJson } from 'aims/base'
import { parseTrustDomain } from 'aims/identifiers'
import type { SettingType } from './setting-types.ts'

/** A relationship as the configuration tells it: its files are read at the start. */
export interface ConfiguredRelationship {
  /** For the parser of relationships, without what is in files. */
  readonly input: JsonObject & { readonly trustDomain: string }
  /** Absolute path of the first bundle. */
  readonly bundleFile?: string
  /** Absolute path of the pinned authorities. */
  readonly authoritiesFile?: string
}

const MEMBERS = ['url', 'profile', 'endpointSpiffeId', 'bundleFile', 'authoritiesFile', 'networks', 'redirects']

/** Members of one trust domain, for the documentation. */
export const RELATIONSHIP_MEMBERS: readonly (readonly [member: string, form: string, absent: string, doc: string])[] = [
  ['url', 'https URL', '**needed**', 'The bundle endpoint.'],
  ['profile', '`https_web` or `https_spiffe`', '**needed**', 'How the endpoint is recognised.'],
  ['endpointSpiffeId', 'SPIFFE ID', '**needed** for `https_spiffe`', 'Exactly who serves the bundle.'],
  [
    'bundleFile',
    'path',
    'needed where the endpoint is in the trust domain itself',
    'The bundle to begin with: a SPIFFE bundle, or CA certificates in PEM.',
  ],
  ['authoritiesFile', 'path', 'authorities of the web', '`https_web`: PEM of the authorities to trust instead.'],
  ['networks', 'list of networks', 'none', 'Networks that are not public and may be reached, e.g. `10.0.0.0/8`.'],
  ['redirects', 'true or false', 'true', 'Whether redirects are followed, three at most.'],
]

/** Relationships by trust domain. */
export const relationships: SettingType<readonly ConfiguredRelationship[]> = {
  name: 'map from trust domain to relationship',
  fromText: (value) => parseJson(value),
  read: (value, base) => {
    if (!isJsonObject(value)) throw new Error('a map is needed, from trust domain to relationship')
    return Object.entries(value).map(([name, one]) => {
      const trustDomain = parseTrustDomain(name)
      if (!isJsonObject(one)) throw new Error(`${trustDomain}: a map of members is needed`)
      const unknown = Object.keys(one).find((member) => !MEMBERS.includes(member))
      if (unknown !== undefined) throw new Error(`${trustDomain}: no member ${JSON.stringify(unknown.slice(0, 64))}`)
      const { bundleFile, authoritiesFile, ...input } = one
      return {
        input: { ...input, trustDomain },
        ...fileMember('bundleFile', bundleFile, base),
        ...fileMember('authoritiesFile', authoritiesFile, base),
      }
    })
  },
}

function fileMember<Name extends string>(
  name: Name,
  value: unknown,
  base: string,
): { readonly [name in Name]?: string } {
  if (value === undefined) return {}
  if (typeof value !== 'string' || value === '') throw new Error(`${name} is a path`)
  return { [name]: resolve(base, value) } as { readonly [name in Name]: string }
}
