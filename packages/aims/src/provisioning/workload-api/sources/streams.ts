import type { WorkloadApiClient } from '../client.ts'

/** What sources are fed from: a Workload API, or whatever else says who a process is. */
export type WorkloadStreams = Pick<
  WorkloadApiClient,
  | 'watchX509Svids'
  | 'watchWits'
  | 'watchX509Bundles'
  | 'watchJwtBundles'
  | 'watchWitBundles'
  | 'fetchJwtSvids'
  | 'close'
>
