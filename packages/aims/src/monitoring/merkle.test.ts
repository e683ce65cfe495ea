import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  CompactTree,
  consistencyProof,
  EMPTY_ROOT,
  inclusionProof,
  leafHash,
  nodeHash,
  type ReadSubtree,
  verifyConsistency,
  verifyInclusion,
  verifySubtree,
} from './merkle.ts'

// The definition of RFC 6962 section 2.1, word for word: slow, and easy to compare with the text.
function definition(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length <= 1) return leaves[0] ?? EMPTY_ROOT
  let k = 1
  while (2 * k < leaves.length) k *= 2
  return nodeHash(definition(leaves.slice(0, k)), definition(leaves.slice(k)))
}

const leaves = Array.from({ length: 70 }, (_, i) => leafHash(Buffer.from(`entry ${i}`)))
const read: ReadSubtree = (level, index) => definition(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level))
const rootAt = (size: number): Uint8Array => definition(leaves.slice(0, size))
const flip = (hash: Uint8Array): Buffer => Buffer.from(hash).fill((hash[7] ?? 0) ^ 1, 7, 8)

test('hashes are those of RFC 6962: leaves and nodes are told apart by their first byte', () => {
  assert.equal(Buffer.from(EMPTY_ROOT).toString('base64'), '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=')
  assert.equal(leafHash(Buffer.alloc(0)).toString('base64'), 'bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=')
  assert.notDeepEqual(leafHash(Buffer.concat([rootAt(1), rootAt(2)])), nodeHash(rootAt(1), rootAt(2)))
})

test('a tree that grows has the root of the definition at every size, also when loaded', () => {
  const tree = new CompactTree()
  for (let size = 0; size < leaves.length; size += 1) {
    assert.deepEqual(Buffer.from(tree.root()), Buffer.from(rootAt(size)))
    assert.deepEqual(CompactTree.load(size, read).root(), tree.root())
    assert.equal(tree.size, size)
    tree.append(leaves[size] ?? EMPTY_ROOT)
  }
})

test('every leaf of every tree is proven, and no change of the claim is', () => {
  for (let size = 1; size <= 40; size += 1) {
    for (let index = 0; index < size; index += 1) {
      const leaf = leaves[index] ?? EMPTY_ROOT
      const claim = { index, size, leaf, root: rootAt(size), proof: inclusionProof(index, size, read) }
      assert.equal(verifyInclusion(claim), true)
      assert.equal(verifyInclusion({ ...claim, leaf: flip(leaf) }), false)
      assert.equal(verifyInclusion({ ...claim, root: flip(claim.root) }), false)
      assert.equal(verifyInclusion({ ...claim, proof: [...claim.proof, leaf] }), false)
      assert.equal(verifyInclusion({ ...claim, index: size }), false)
      for (let at = 0; at < claim.proof.length; at += 1) {
        assert.equal(verifyInclusion({ ...claim, proof: claim.proof.with(at, flip(claim.proof[at] ?? leaf)) }), false)
        assert.equal(verifyInclusion({ ...claim, proof: claim.proof.toSpliced(at, 1) }), false)
      }
    }
  }
})

test('every tree is consistent with every smaller one, and no change of the claim is', () => {
  for (let to = 0; to <= 40; to += 1) {
    for (let from = 0; from <= to; from += 1) {
      const proof = consistencyProof(from, to, read)
      const claim = { from, to, fromRoot: rootAt(from), toRoot: rootAt(to), proof }
      assert.equal(verifyConsistency(claim), true)
      assert.equal(verifyConsistency({ ...claim, fromRoot: flip(claim.fromRoot) }), false)
      if (from > 0 || to === 0) assert.equal(verifyConsistency({ ...claim, toRoot: flip(claim.toRoot) }), false)
      assert.equal(verifyConsistency({ ...claim, proof: [...proof, EMPTY_ROOT] }), false)
      for (let at = 0; at < proof.length; at += 1) {
        assert.equal(verifyConsistency({ ...claim, proof: proof.with(at, flip(proof[at] ?? EMPTY_ROOT)) }), false)
        assert.equal(verifyConsistency({ ...claim, proof: proof.toSpliced(at, 1) }), false)
      }
    }
  }
})

test('a proof for one place is no proof for another', () => {
  fc.assert(
    fc.property(fc.nat(69), fc.nat(69), fc.nat(69), fc.nat(69), (a, b, c, d) => {
      const index = Math.min(a, b)
      const size = Math.max(a, b) + 1
      const claim = { index: c, size: d + 1, leaf: leaves[index] ?? EMPTY_ROOT, root: rootAt(size) }
      const right = verifyInclusion({ ...claim, proof: inclusionProof(index, size, read) })
      // Another size can share the path of a leaf, never another index.
      if (right) assert.equal(c, index)
      else assert.ok(c !== index || d + 1 !== size)
    }),
  )
})

const hash32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const counts = fc.oneof(fc.nat(), fc.constantFrom(-1, 0.5, Number.NaN, 2 ** 53, Number.MAX_SAFE_INTEGER, 2 ** 40))

test('made-up claims are refused and never throw', () => {
  fc.assert(
    fc.property(counts, counts, counts, hash32, fc.array(hash32, { maxLength: 60 }), (a, b, c, hash, proof) => {
      const root = leafHash(hash)
      assert.equal(verifyInclusion({ index: a, size: b, leaf: hash, root, proof }), false)
      assert.equal(verifyConsistency({ from: a, to: b, fromRoot: hash, toRoot: root, proof }), false)
      assert.equal(verifySubtree({ start: a, end: b, size: c, subtreeRoot: hash, root, proof }), false)
    }),
  )
})

test('trees of 2^40 leaves are counted exactly', () => {
  const size = 2 ** 40
  const same: ReadSubtree = (level) => {
    let hash: Uint8Array = leaves[0] ?? EMPTY_ROOT
    for (let i = 0; i < level; i += 1) hash = nodeHash(hash, hash)
    return hash
  }
  const proof = inclusionProof(2 ** 33 + 5, size, same)
  const claim = { index: 2 ** 33 + 5, size, leaf: same(0, 0), root: same(40, 0), proof }
  assert.equal(proof.length, 40)
  assert.equal(verifyInclusion(claim), true)
  assert.equal(verifyInclusion({ ...claim, size: size + 1 }), false)
})

test('hashes of another length are refused, and questions that make no sense are TypeErrors', () => {
  const claim = { index: 0, size: 1, leaf: Buffer.from('short'), root: Buffer.from('short'), proof: [] }
  assert.equal(verifyInclusion(claim), false)
  assert.throws(() => inclusionProof(3, 3, read), TypeError)
  assert.throws(() => inclusionProof(-1, 3, read), TypeError)
  assert.throws(() => consistencyProof(4, 3, read), TypeError)
})
