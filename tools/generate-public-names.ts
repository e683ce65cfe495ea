// Writes spec/public-names.json: what each package offers to the outside, so that a change of it is a decision.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT: string = fileURLToPath(new URL('..', import.meta.url))
export const PUBLIC_NAMES = 'spec/public-names.json'

/** One name that a subpath exports. */
export interface PublicName {
  readonly name: string
  /** Where it is declared, from the root of the repository. */
  readonly file: string
  readonly documented: boolean
}

interface Manifest {
  readonly name: string
  readonly exports: { readonly [subpath: string]: string | { readonly 'aims:source': string } }
}

const PACKAGES = ['packages/aims', 'packages/server', 'packages/agent']
const LIST = /^export (?:type )?\{([^}]*)\} from '(\.[^']+)'/gm
const DECLARATION =
  /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|const|interface|type) ([A-Za-z_$][\w$]*)/gm
const ANY_EXPORT = /^export\b.*$/gm

/** Subpath, e.g. `aims/policy` -> its names in order. Throws for what is not an export of named things. */
export function readPublicNames(): ReadonlyMap<string, readonly PublicName[]> {
  const found = new Map<string, readonly PublicName[]>()
  for (const folder of PACKAGES) {
    const manifest: Manifest = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'))
    for (const [subpath, target] of Object.entries(manifest.exports)) {
      if (typeof target === 'string') continue
      const entry = join(folder, target['aims:source'])
      found.set(join(manifest.name, subpath), existsSync(join(ROOT, entry)) ? namesOf(entry) : [])
    }
  }
  return found
}

export function publicNamesJson(): string {
  const lists = [...readPublicNames()].map(([subpath, names]) => [subpath, names.map(({ name }) => name)])
  return `${JSON.stringify(Object.fromEntries(lists), null, 2)}\n`
}

function namesOf(file: string): readonly PublicName[] {
  const text = readFileSync(join(ROOT, file), 'utf8')
  const names: PublicName[] = []
  let statements = 0
  for (const [, list = '', from = ''] of text.matchAll(LIST)) {
    statements += 1
    const declared = new Map(namesOf(normalize(join(dirname(file), from))).map((entry) => [entry.name, entry]))
    for (const item of list.split(',').map((part) => part.trim().replace(/^type /, ''))) {
      if (item === '') continue
      const [inner = '', outer = inner] = item.split(' as ')
      const entry = declared.get(inner)
      if (entry === undefined) throw new Error(`${file} exports ${inner}, which ${from} does not declare`)
      names.push({ ...entry, name: outer })
    }
  }
  for (const match of text.matchAll(DECLARATION)) {
    statements += 1
    const before = text.slice(0, match.index).trimEnd()
    // Overloads are documented once, at the first.
    if (names.some(({ name }) => name === match[1])) continue
    names.push({ name: match[1] ?? '', file, documented: before.endsWith('*/') })
  }
  const total = [...text.matchAll(ANY_EXPORT)].filter(([line]) => line !== 'export {}').length
  if (statements !== total) throw new Error(`${file} has an export that is not of named things`)
  return names.toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

if (import.meta.main) writeFileSync(join(ROOT, PUBLIC_NAMES), publicNamesJson())
