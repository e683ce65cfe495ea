/** A SPIFFE ID that passed {@link parseSpiffeId}. Compare with `===`; print as is. */
export type SpiffeId = `spiffe://${string}` & { readonly __brand: 'SpiffeId' }
/** A trust domain name that passed its parser, e.g. `example.com`: no scheme, no path. */
export type TrustDomain = string & { readonly __brand: 'TrustDomain' }
/** A WIMSE workload identifier, of which SPIFFE IDs are one kind. */
export type WorkloadId = SpiffeId | (`wimse://${string}` & { readonly __brand: 'WimseId' })
