import type { Profile } from '../credentials/profile.ts'

/** Where a token travels: a header field of its own, or behind a scheme of `Authorization`. */
export type Location = 'authorization-wpt' | 'authorization-bearer' | 'workload-identity-token' | 'workload-proof-token'

/** What one generation of the drafts says about its proofs. Code reads this table and never branches on a profile's name. */
export interface ProfileRules {
  readonly profile: Profile
  readonly proof: { readonly location: Location; readonly typ: string }
  readonly wit: { readonly location: Location; readonly typ: string }
  /** Claims without which a proof is refused. */
  readonly required: readonly ProofClaim[]
  /** Whether `ath` binds the OAuth access token beside the proof, or means nothing. */
  readonly bindsAccessToken: boolean
  /** `oth` was a single hash before s2s-07. */
  readonly othAsString: boolean
  /** The proof names its maker: `iss` is the subject of the WIT, `kid` is its `cnf.kid`. */
  readonly namesMaker: boolean
  /** `iat` must be within 60 s of now, and `exp` within 300 s of `iat`. */
  readonly freshIssue: boolean
}

/** The claims of a proof, by their names on the wire. */
export type ProofClaim = 'aud' | 'exp' | 'jti' | 'wth' | 'iss' | 'htm' | 'htu' | 'iat'

/**
 * Every profile, strongest first. A pair of proof location and `typ` belongs to one profile.
 *
 * @see draft-ietf-wimse-wpt-02; draft-ietf-wimse-wpt-01; draft-ietf-wimse-s2s-protocol-03; draft-klrc-aiagent-auth-00
 */
export const PROFILE_RULES: { readonly [profile in Profile]: ProfileRules } = {
  wimse: {
    profile: 'wimse',
    proof: { location: 'authorization-wpt', typ: 'wpt+jwt' },
    wit: { location: 'workload-identity-token', typ: 'wit+jwt' },
    required: ['aud', 'exp', 'jti', 'wth'],
    bindsAccessToken: false,
    othAsString: false,
    namesMaker: false,
    freshIssue: false,
  },
  'wimse-wpt-01': {
    profile: 'wimse-wpt-01',
    proof: { location: 'workload-proof-token', typ: 'wpt+jwt' },
    wit: { location: 'workload-identity-token', typ: 'wit+jwt' },
    required: ['aud', 'exp', 'jti', 'wth'],
    bindsAccessToken: true,
    othAsString: false,
    namesMaker: false,
    freshIssue: false,
  },
  's2s-03-compat': {
    profile: 's2s-03-compat',
    proof: { location: 'workload-proof-token', typ: 'wimse-proof+jwt' },
    wit: { location: 'workload-identity-token', typ: 'wimse-id+jwt' },
    required: ['aud', 'exp', 'jti', 'wth'],
    bindsAccessToken: true,
    othAsString: true,
    namesMaker: false,
    freshIssue: false,
  },
  'aims-00': {
    profile: 'aims-00',
    proof: { location: 'workload-identity-token', typ: 'wimse-proof+jwt' },
    wit: { location: 'authorization-bearer', typ: 'wimse-id+jwt' },
    required: ['iss', 'aud', 'htm', 'htu', 'iat', 'exp', 'jti'],
    bindsAccessToken: false,
    othAsString: false,
    namesMaker: true,
    freshIssue: true,
  },
}
