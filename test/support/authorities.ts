// Authorities of a server whose store is in memory.
import { randomBytes } from 'node:crypto'
import { type Clock, keyEncryptionKey } from 'aims/base'
import { parseTrustDomain } from 'aims/identifiers'
import type { AuthoritiesOptions } from '../../packages/server/src/keys/authority-types.ts'
import { openStore } from '../../packages/server/src/store/database.ts'
import { openKeyStore } from '../../packages/server/src/store/key-store.ts'
import { openMeta } from '../../packages/server/src/store/meta.ts'
import { openNeighbours } from '../../packages/server/src/store/neighbours.ts'
import { openSeal } from '../../packages/server/src/store/seal.ts'

/** Options for `example.com` on a new store: keys live 1000 s, are published 50 s ahead, and what they sign lives 100 s. */
export function authoritiesOptions(clock: Clock): AuthoritiesOptions {
  const trustDomain = parseTrustDomain('example.com')
  const db = openStore(':memory:')
  const meta = openMeta(db)
  const kek = keyEncryptionKey(randomBytes(32))
  const seal = openSeal(db, kek, meta)
  return {
    trustDomain,
    seal,
    store: openKeyStore(db, kek, seal),
    meta,
    clock,
    observer: { record: async () => undefined },
    lifetime: 1000,
    publishAhead: 50,
    maxTtl: { 'x509-ca': 100, jwt: 100, wit: 100 },
    refreshHint: 60,
    neighbours: openNeighbours(db, seal, trustDomain),
  }
}
