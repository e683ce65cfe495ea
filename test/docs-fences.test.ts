// Every ```ts fence of the documentation compiles against the workspaces as they are. A fence is a module of its own;
// one that is marked `ts continued` goes on where the fence before it on the page ended.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
// Inside node_modules, so that the names of the workspaces resolve.
const folder = join(root, 'node_modules/.cache/aims-docs-fences')
const PAGES = ['*.md', 'docs/**/*.md', 'packages/*/README.md', 'examples/**/*.md']
const FENCE = /^```(\S+)([^\n]*)\n(.*?)^```$/gms

/** The modules of a page: the line each starts on, and its code. */
function modulesOf(page: string): readonly { readonly line: number; readonly code: string }[] {
  const text = readFileSync(join(root, page), 'utf8')
  const modules: { line: number; code: string }[] = []
  for (const { 1: language, 2: info = '', 3: code = '', index } of text.matchAll(FENCE)) {
    if (language !== 'ts') continue
    const line = text.slice(0, index).split('\n').length
    const last = modules.at(-1)
    if (info.trim() === 'continued' && last !== undefined) last.code += code
    else modules.push({ line, code })
  }
  return modules
}

test('every ts fence of the documentation compiles', () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  let count = 0
  for (const page of globSync(PAGES, { cwd: root, exclude: ['**/node_modules/**'] })) {
    for (const { line, code } of modulesOf(page)) {
      count += 1
      const name = `${page.replaceAll('/', '_').replace(/\.md$/, '')}-line-${line}.ts`
      writeFileSync(join(folder, name), `${code}\nexport {}\n`)
    }
  }
  const config = {
    extends: '../../../tsconfig.json',
    compilerOptions: {
      noUnusedLocals: false,
      noUnusedParameters: false,
      isolatedDeclarations: false,
      declaration: false,
    },
    include: ['*.ts'],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const compiled = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', folder], { cwd: folder, encoding: 'utf8' })
  assert.equal(compiled.status, 0, compiled.stdout)
  assert.ok(count > 0, 'no fence was found')
})
