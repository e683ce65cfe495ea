import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** The layers of AIMS in order. A file imports its own folder, `base`, and the layers before its own. */
const LAYERS = [
  'identifiers',
  'credentials',
  'attestation',
  'provisioning',
  'authentication',
  'authorization',
  'monitoring',
  'policy',
  'compliance',
]
/** What a package may import of the others. */
const PACKAGES: { readonly [name: string]: readonly string[] } = {
  aims: [],
  'aims-agent': ['aims'],
  'aims-server': ['aims'],
  'aims-cli': ['aims', 'aims-agent', 'aims-server'],
}

const packages = fileURLToPath(new URL('../packages/', import.meta.url))
const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g

function importsOf(file: string): readonly string[] {
  return [...readFileSync(join(packages, file), 'utf8').matchAll(IMPORT)].map(([, specifier = '']) => specifier)
}

test('a file imports only its own folder, base, and layers with a lower number', () => {
  const wrong: string[] = []
  for (const file of globSync('aims/src/**/*.ts', { cwd: packages })) {
    const [from = '', rest] = file.split('/').slice(2)
    // The root and the adapters put layers together.
    if (rest === undefined || from === 'adapters') continue
    for (const specifier of importsOf(file)) {
      if (!specifier.startsWith('.')) continue
      const target = relative('aims/src', join(dirname(file), specifier))
      const [to = ''] = target.split('/')
      const lower = LAYERS.includes(to) && LAYERS.indexOf(to) < LAYERS.indexOf(from)
      const outside = target.startsWith('..') && file.endsWith('.test.ts')
      if (!(to === from || to === 'base' || lower || outside)) wrong.push(`${file} -> ${specifier}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('every folder of the library is a layer, base or adapters', () => {
  const folders = new Set(globSync('aims/src/*/*.ts', { cwd: packages }).map((file) => file.split('/')[2]))
  assert.deepEqual(
    [...folders].filter((name) => !['base', 'adapters', ...LAYERS].includes(name ?? '')),
    [],
  )
})

test('packages import each other only along the arrows, and only by their names', () => {
  const wrong: string[] = []
  for (const file of globSync('*/src/**/*.ts', { cwd: packages })) {
    const [folder = ''] = file.split('/')
    const from = folder === 'aims' ? 'aims' : `aims-${folder}`
    for (const specifier of importsOf(file)) {
      const [to = ''] = specifier.split('/')
      const leaves = specifier.startsWith('.') && join(dirname(file), specifier).split('/')[0] !== folder
      const allowed = !Object.hasOwn(PACKAGES, to) || PACKAGES[from]?.includes(to)
      if ((leaves && !file.endsWith('.test.ts')) || !allowed) wrong.push(`${file} -> ${specifier}`)
    }
  }
  assert.deepEqual(wrong, [])
})
