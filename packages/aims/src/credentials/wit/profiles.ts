import type { Profile } from '../profile.ts'

/** What a WIT looks like in a generation of the drafts. Code reads this table and never branches on a name. */
export interface WitShape {
  /** `typ` header, compared exactly. */
  readonly typ: 'wit+jwt' | 'wimse-id+jwt'
  /** `cnf.jwk` may lack `alg`: then the one of the curve is meant. Never for RSA. */
  readonly confirmationAlgOptional: boolean
  /** `iss` and `aud` are mandatory and checked, `cnf.kid` may name a registered key, and only SPIFFE IDs are subjects. */
  readonly aims: boolean
}

/** @see draft-ietf-wimse-workload-creds-02; draft-ietf-wimse-s2s-protocol-03 to -06; draft-klrc-aiagent-auth-00 */
export const WIT_SHAPES: { readonly [profile in Profile]: WitShape } = {
  wimse: { typ: 'wit+jwt', confirmationAlgOptional: false, aims: false },
  'wimse-wpt-01': { typ: 'wit+jwt', confirmationAlgOptional: false, aims: false },
  's2s-03-compat': { typ: 'wimse-id+jwt', confirmationAlgOptional: true, aims: false },
  'aims-00': { typ: 'wimse-id+jwt', confirmationAlgOptional: false, aims: true },
}
