import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { verifyConsistency, verifyInclusion, verifySubtree } from '../../packages/aims/src/monitoring/merkle.ts'
import { type Case, suite } from './suite.ts'

interface ProofCase {
  readonly leafIdx: number
  readonly treeSize: number
  readonly leafHash: string
  readonly size1: number
  readonly size2: number
  readonly start: number
  readonly end: number
  readonly size: number
  readonly root: string
  readonly root1: string
  readonly root2: string
  readonly proof: readonly string[] | null
  readonly wantErr: boolean
}

suite('merkle-proofs', 'suites/merkle-proofs', (dir) =>
  readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file): Case => {
      const proof: ProofCase = JSON.parse(readFileSync(join(dir, file), 'utf8'))
      const check = CHECKS[file.slice(0, file.indexOf('/'))]
      if (check === undefined) throw new Error(`no check for ${file}`)
      return {
        id: file,
        expected: proof.wantErr ? 'reject' : 'accept',
        run: () => (check(proof) ? { accepted: true } : { accepted: false, code: 'audit.proof_mismatch' }),
      }
    }),
)

const bytes = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64')

const CHECKS: { readonly [folder: string]: (given: ProofCase) => boolean } = {
  inclusion: (given) =>
    verifyInclusion({
      index: given.leafIdx,
      size: given.treeSize,
      leaf: bytes(given.leafHash),
      root: bytes(given.root),
      proof: (given.proof ?? []).map(bytes),
    }),
  consistency: (given) =>
    verifyConsistency({
      from: given.size1,
      to: given.size2,
      fromRoot: bytes(given.root1),
      toRoot: bytes(given.root2),
      proof: (given.proof ?? []).map(bytes),
    }),
  // A leaf of a subtree is a leaf of a tree of its own, when the subtree lies where subtrees may lie.
  subtreeinclusion: (given) =>
    verifyInclusion({
      index: given.leafIdx - given.start,
      size: given.end - given.start,
      leaf: bytes(given.leafHash),
      root: bytes(given.root),
      proof: (given.proof ?? []).map(bytes),
    }),
  subtreeconsistency: (given) =>
    verifySubtree({
      start: given.start,
      end: given.end,
      size: given.size,
      subtreeRoot: bytes(given.root1),
      root: bytes(given.root2),
      proof: (given.proof ?? []).map(bytes),
    }),
}
