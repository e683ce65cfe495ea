import { asBuffer } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { tokenBytes } from './ask-platform.ts'
import type { MetadataOptions } from './aws-imds.ts'
import type { EvidenceCollector } from './collector.ts'
import { answerOfMetadata } from './metadata.ts'

/** Where an instance of Google asks for its token. */
export interface GcpCollectorOptions extends MetadataOptions {
  /** Default `default`. */
  readonly serviceAccount?: string
}

const ENDPOINT = 'http://metadata.google.internal'
const METADATA = { name: 'the metadata server of Google' }

/**
 * Makes the collector of `gcp`: it asks the metadata server of Compute Engine for the full identity token of this
 * instance. An answer without Google's own header is one of somebody else. Without a metadata server there is no evidence.
 *
 * @see https://cloud.google.com/compute/docs/instances/verifying-instance-identity
 */
export function gcpCollector(options: GcpCollectorOptions): EvidenceCollector {
  const { exchange, endpoint = ENDPOINT, serviceAccount = 'default' } = options
  return {
    type: 'gcp',
    async collect({ audience }) {
      const path = `/computeMetadata/v1/instance/service-accounts/${encodeURIComponent(serviceAccount)}/identity`
      const url = `${endpoint}${path}?${new URLSearchParams({ audience, format: 'full' })}`
      const answer = await answerOfMetadata(exchange, { method: 'GET', url, headers: { 'metadata-flavor': 'Google' } })
      if (answer === undefined) return undefined
      if (answer.headers['metadata-flavor'] !== 'Google') {
        throw new AimsError('attestation.collection_failed', `not an answer of ${METADATA.name}`)
      }
      return tokenBytes(asBuffer(answer.body).toString('latin1').trimEnd(), METADATA)
    },
  }
}
