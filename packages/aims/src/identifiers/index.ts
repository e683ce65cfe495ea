export type { SpiffeId, TrustDomain, WorkloadId } from './spiffe-id.ts'
