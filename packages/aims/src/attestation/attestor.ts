/** Every kind of evidence, in the order of the documentation. */
export const ATTESTATION_TYPES = [
  'unix',
  'docker',
  'tpm',
  'sgx',
  'tdx',
  'sev-snp',
  'kubernetes',
  'aws-iid',
  'aws-sts',
  'aws-nitro',
  'gcp',
  'azure',
  'azure-msi',
  'azure-cvm',
  'github',
  'join-token',
  'x509-pop',
  'spiffe',
] as const

/** A kind of evidence. */
export type AttestationType = (typeof ATTESTATION_TYPES)[number]

/**
 * How strongly evidence is tied to the key that will be certified. `full`: the key is in what the hardware signed.
 * `audience`: nonce and key are in the audience or nonce the platform signed. `channel`: the key arrives on the
 * connection that the kernel attested. `none`: a bearer document, good for one first use.
 */
export type BindingStrength = 'full' | 'audience' | 'channel' | 'none'

/** What shows that the evidence is not an old one. `live`: read from the kernel now. */
export type Freshness = 'nonce' | 'live' | 'window' | 'none'

/** What the vendor says about the firmware of a platform. */
export interface TcbState {
  /** The vendor's word, e.g. `UpToDate`, `OutOfDate`; `unrated` where the vendor publishes no status. */
  readonly status: string
  /** E.g. `INTEL-SA-00615`. */
  readonly advisories: readonly string[]
  /** Number of the vendor's data the status comes from; grows. */
  readonly evaluationNumber?: number
  /** Seconds since the epoch. */
  readonly tcbDate?: number
}

/** What is true of the workload, as `type:key:value` selectors, e.g. `unix:uid:1000`, and how well that is known. */
export interface AttestationResult {
  readonly type: AttestationType
  readonly selectors: readonly string[]
  /** Seconds since the epoch. */
  readonly verifiedAt: number
  /** Seconds since the epoch: when the earliest certificate, token or collateral ends. Absent: no end of its own. */
  readonly evidenceNotAfter?: number
  readonly binding: BindingStrength
  readonly freshness: Freshness
  /** SHA-256 of the vendor root the evidence leads to, hex. Absent where there is none. */
  readonly hardwareRoot?: string
  readonly tcb?: TcbState
  /** The platform runs in a mode in which its owner can read its memory. */
  readonly debug: boolean
  /** Small facts for the record, e.g. `pid`. Not for decisions. */
  readonly attributes: { readonly [name: string]: string }
  /** What an operator should know and the policy let pass. */
  readonly warnings: readonly string[]
}

/**
 * Turns one type of evidence into selectors. It checks who made the statement and that it is fresh. It does not decide
 * which SPIFFE ID follows: that is the registration entry's job, in provisioning.
 *
 * @throws {@link AimsError} `attestation.*`
 */
export interface Attestor<Evidence> {
  readonly type: AttestationType
  attest(evidence: Evidence, context: { readonly now: number }): Promise<AttestationResult>
}
