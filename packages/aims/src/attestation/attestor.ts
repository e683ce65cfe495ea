/** A kind of evidence. More come with their attestors. */
export type AttestationType = 'unix'

/** What is true of the workload, as `type:key:value` selectors, e.g. `unix:uid:1000`. */
export interface AttestationResult {
  readonly type: AttestationType
  readonly selectors: readonly string[]
  /** Seconds since the epoch. */
  readonly verifiedAt: number
  /** How strongly the evidence is tied to the key that will be certified. Unix: the key arrives on the attested connection. */
  readonly binding: 'full' | 'audience' | 'channel' | 'none'
  /** Small facts for the record, e.g. `pid`. Not for decisions. */
  readonly attributes: { readonly [name: string]: string }
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
