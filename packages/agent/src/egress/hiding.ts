import { type Hidden, hiddenKey, hiddenToken, type PatternTable, patternTable } from 'aims/base'
import type { WorkloadIdentity } from '../workload-backend.ts'
import type { GivenTokens } from './given-tokens.ts'
import type { HeldSecret } from './secrets/held-secret.ts'
import type { SecretReader } from './secrets/secret-store.ts'

/** Tables of what answers must not show. */
export interface Hiding {
  /** Everything that this broker holds and could have given away: secrets, bearer tokens, the WIT of the workload, and `fresh`. */
  tablesFor(identity: WorkloadIdentity, fresh: readonly Hidden[]): readonly PatternTable[]
}

/** Makes tables, and keeps those that stay the same from request to request. */
export function hiding(secrets: SecretReader, given: GivenTokens): Hiding {
  const ofIdentities = new WeakMap<WorkloadIdentity, PatternTable>()
  let ofSecrets: { readonly from: readonly HeldSecret[]; readonly table: PatternTable } | undefined
  return {
    tablesFor(identity, fresh) {
      const held = secrets.all()
      if (ofSecrets === undefined || !isSame(ofSecrets.from, held)) {
        ofSecrets = {
          from: held,
          table: patternTable(held.map((one) => hiddenKey(Buffer.from(one.reveal(), 'latin1')))),
        }
      }
      let own = ofIdentities.get(identity)
      if (own === undefined) {
        own = patternTable(identity.wit === undefined ? [] : hiddenToken(identity.wit.token))
        ofIdentities.set(identity, own)
      }
      return [ofSecrets.table, ...given.tables(), own, patternTable(fresh)].filter(({ longest }) => longest > 0)
    },
  }
}

function isSame(a: readonly HeldSecret[], b: readonly HeldSecret[]): boolean {
  return a.length === b.length && a.every((one, at) => one === b[at])
}
