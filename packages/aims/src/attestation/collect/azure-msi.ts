import { type Platform, readJsonAnswer, tokenBytes } from './ask-platform.ts'
import { METADATA_ENDPOINT, type MetadataOptions } from './aws-imds.ts'
import type { EvidenceCollector } from './collector.ts'
import { askMetadata } from './metadata.ts'

/** Where a resource of Azure asks for the token of its identity, and for whom. */
export interface AzureMsiCollectorOptions extends MetadataOptions {
  /** The application id URI of the AIMS server. */
  readonly resource: string
  /** Client id of a user-assigned identity. Absent: the system-assigned one. */
  readonly clientId?: string
}

const METADATA: Platform = { name: 'the metadata service of Azure', code: 'attestation.collection_failed' }

/**
 * Makes the collector of `azure-msi`: it asks the instance metadata service for a token of the managed identity. The token
 * answers no challenge. Without a metadata service there is no evidence.
 *
 * @see https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
 */
export function azureMsiCollector(options: AzureMsiCollectorOptions): EvidenceCollector {
  const { resource, exchange, endpoint = METADATA_ENDPOINT, clientId } = options
  const query = new URLSearchParams({
    'api-version': '2018-02-01',
    resource,
    ...(clientId === undefined ? {} : { client_id: clientId }),
  })
  const url = `${endpoint}/metadata/identity/oauth2/token?${query}`
  return {
    type: 'azure-msi',
    async collect() {
      const body = await askMetadata(exchange, { method: 'GET', url, headers: { metadata: 'true' } })
      return body === undefined ? undefined : tokenBytes(readJsonAnswer(body, METADATA).access_token, METADATA)
    },
  }
}
