import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import fc from 'fast-check'
import { refuseRollback } from './collateral.ts'
import { collateralDirectory, highestSeenFile } from './collateral-directory.ts'

const scratch = mkdtempSync(join(tmpdir(), 'aims-collateral-'))
after(() => rmSync(scratch, { recursive: true, force: true }))
let count = 0
const fresh = (): string => join(scratch, String(count++))

describe('a directory of collateral', () => {
  test('gives what was put into it, and what others put there', () => {
    const root = fresh()
    const directory = collateralDirectory(root)
    assert.equal(directory.get('intel/root-ca-crl.der'), undefined)
    assert.deepEqual(directory.list(), [])
    directory.put('intel/root-ca-crl.der', Buffer.from('one'))
    mkdirSync(join(root, 'gcp'))
    writeFileSync(join(root, 'gcp/jwks.json'), 'two')
    assert.equal(Buffer.from(directory.get('intel/root-ca-crl.der') ?? []).toString(), 'one')
    assert.equal(Buffer.from(directory.get('gcp/jwks.json') ?? []).toString(), 'two')
    assert.deepEqual(directory.list(), ['gcp/jwks.json', 'intel/root-ca-crl.der'])
  })

  test('sees a file that was replaced, by itself or by others, and one that has gone', () => {
    const root = fresh()
    const directory = collateralDirectory(root)
    directory.put('a', Buffer.from('one'))
    assert.equal(Buffer.from(directory.get('a') ?? []).toString(), 'one')
    collateralDirectory(root).put('a', Buffer.from('two'))
    assert.equal(Buffer.from(directory.get('a') ?? []).toString(), 'two')
    rmSync(join(root, 'a'))
    assert.equal(directory.get('a'), undefined)
  })

  test('leaves nothing behind but the file', () => {
    const root = fresh()
    const directory = collateralDirectory(root)
    directory.put('a/b', Buffer.from('x'))
    directory.put('a/b', Buffer.from('y'))
    assert.deepEqual(readdirSync(join(root, 'a')), ['b'])
  })

  for (const name of [
    '../outside',
    'a/../../outside',
    '/etc/passwd',
    'a//b',
    './a',
    'a/.hidden',
    '.a',
    '',
    'A',
    'a\0b',
    'a\\b',
    'a/',
  ]) {
    test(`has no file named ${JSON.stringify(name)}`, () => {
      const root = fresh()
      mkdirSync(root)
      writeFileSync(join(scratch, 'outside'), 'secret')
      const directory = collateralDirectory(root)
      assert.equal(directory.get(name), undefined)
      assert.throws(() => directory.put(name, Buffer.from('x')), TypeError)
    })
  }

  test('reads nothing outside, whatever the name', () => {
    const root = fresh()
    mkdirSync(root)
    const directory = collateralDirectory(root)
    const part = fc.oneof(fc.constantFrom('..', '.', '/', 'outside', '%2e', '\0', 'a'), fc.string())
    fc.assert(fc.property(fc.array(part), (parts) => directory.get(parts.join('/')) === undefined))
  })

  test('what is no regular file, or above 4 MiB, is as if it were not there', () => {
    const root = fresh()
    mkdirSync(join(root, 'folder'), { recursive: true })
    writeFileSync(join(root, 'large'), '')
    truncateSync(join(root, 'large'), 4 * 1024 * 1024 + 1)
    symlinkSync('/dev/zero', join(root, 'device'))
    symlinkSync('nowhere', join(root, 'dangling'))
    const directory = collateralDirectory(root)
    for (const name of ['folder', 'large', 'device', 'dangling']) assert.equal(directory.get(name), undefined, name)
    assert.throws(() => directory.put('a', Buffer.alloc(4 * 1024 * 1024 + 1)), { code: 'attestation.too_large' })
  })
})

describe('the file of highest numbers', () => {
  test('outlives the process: an older number is refused after a restart (N17)', () => {
    const path = join(fresh(), 'seen.json')
    refuseRollback(highestSeenFile(path), new Map([['tcb', 17n]]))
    refuseRollback(
      highestSeenFile(path),
      new Map([
        ['tcb', 18n],
        ['crl', 2n ** 70n],
      ]),
    )
    const again = highestSeenFile(path)
    assert.equal(again.get('crl'), 2n ** 70n)
    assert.throws(() => refuseRollback(again, new Map([['tcb', 17n]])), { code: 'attestation.collateral_rollback' })
  })

  for (const text of ['{"tcb":17}', '{"tcb":"-1"}', '{"tcb":"x"}']) {
    test(`that is damaged is not taken for empty: ${text}`, () => {
      const path = fresh()
      writeFileSync(path, text)
      assert.throws(() => highestSeenFile(path), { code: 'attestation.collateral_malformed' })
    })
  }
})
