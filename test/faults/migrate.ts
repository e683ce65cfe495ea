// Opens a store with all steps of the schema, and takes the last one back when told to, over and over until it is killed.
// Arguments: the store, the key-encryption key, `forward` or `around`. Prints `ready` before the first step.
import { readFileSync, writeSync } from 'node:fs'
import { keyEncryptionKey } from '../../packages/aims/src/base/key-encryption-key.ts'
import { openStore } from '../../packages/server/src/store/database.ts'
import { openMeta } from '../../packages/server/src/store/meta.ts'
import { openSeal } from '../../packages/server/src/store/seal.ts'
import { stepBack } from '../../packages/server/src/store/step-back.ts'

const [path = '', keyFile = '', way = ''] = process.argv.slice(2)
const key = keyEncryptionKey(readFileSync(keyFile))
writeSync(1, 'ready\n')
do {
  const db = openStore(path)
  if (way === 'around') stepBack(db, openSeal(db, key, openMeta(db)))
  db.close()
} while (way === 'around')
