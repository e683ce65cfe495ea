import { azureNonce } from '../azure/nonce.ts'
import { METADATA_ENDPOINT, type MetadataOptions } from './aws-imds.ts'
import type { EvidenceCollector } from './collector.ts'
import { askMetadata } from './metadata.ts'

const API_VERSION = '2025-04-07'

/**
 * Makes the collector of `azure`: it asks the Azure metadata service for an attested document whose nonce is
 * `azureNonce(challenge)`. Without a metadata service there is no evidence.
 *
 * @see https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service, "Attested data"
 */
export function azureCollector({ exchange, endpoint = METADATA_ENDPOINT }: MetadataOptions): EvidenceCollector {
  return {
    type: 'azure',
    collect: ({ challenge }) =>
      askMetadata(exchange, {
        method: 'GET',
        url: `${endpoint}/metadata/attested/document?api-version=${API_VERSION}&nonce=${azureNonce(challenge)}`,
        headers: { metadata: 'true' },
      }),
  }
}
