import type { DatabaseSync } from 'node:sqlite'
import { sha256Base64url, storing } from 'aims/base'
import type { Seal } from './seal.ts'

/** What verifiers of evidence remember from one piece to the next: how far a TPM or a vendor's statement has come. */
export interface EvidenceMemory {
  get(name: string): string | undefined
  set(name: string, value: string): void
}

/** The memory in this store. Rows are sealed: an older one would let old evidence pass again. */
export function openEvidenceMemory(db: DatabaseSync, seal: Seal): EvidenceMemory {
  const find = db.prepare('SELECT value FROM evidence_memory WHERE id = ?')
  const put = db.prepare(`
    INSERT INTO evidence_memory VALUES ($id, $name, $value) ON CONFLICT (id) DO UPDATE SET value = $value`)
  return {
    get(name) {
      const value = storing('store', () => find.get(sha256Base64url(name))?.value)
      return typeof value === 'string' ? value : undefined
    },
    set(name, value) {
      const id = sha256Base64url(name)
      seal.transaction(() => seal.row('evidence_memory', id, () => put.run({ $id: id, $name: name, $value: value })))
    },
  }
}
