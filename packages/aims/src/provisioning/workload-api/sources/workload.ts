import { WorkloadApiClient, type WorkloadApiClientOptions } from '../client.ts'
import { type ConnectedIdentity, followIdentity, type IdentityOptions } from './identity.ts'

/** How to connect, and what to do when the workload has several identities. */
export interface WorkloadOptions extends WorkloadApiClientOptions, IdentityOptions {}

/** This process as the Workload API knows it: all its credentials and bundles, kept fresh. */
export interface Workload extends ConnectedIdentity {
  readonly client: WorkloadApiClient
}

/**
 * Connects to the Workload API and waits until it has said who this process is.
 *
 * A kind of credential that the identity does not have is no failure: its source is just not ready.
 *
 * @throws {@link AimsError} `provisioning.no_endpoint`, `.invalid_endpoint`; after `readyTimeout` the last failure,
 *   e.g. `.endpoint_unavailable` (no agent) or `.no_identity` (no entry matches)
 */
export async function connectWorkload(options: WorkloadOptions = {}): Promise<Workload> {
  const client = new WorkloadApiClient(options)
  return await followIdentity(client, options, { client })
}
