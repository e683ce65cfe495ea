import { randomUUID } from 'node:crypto'
import {
  awsIidCollector,
  awsInstanceCredentials,
  awsStsCollector,
  azureCollector,
  azureMsiCollector,
  type EvidenceCollector,
  type Exchange,
  exchangeThrough,
  gcpCollector,
  githubCollector,
  kubernetesCollector,
  type MetadataOptions,
  metadataExchange,
  tdxCollector,
} from 'aims/attestation'
import { outbound } from 'aims/base'
import { UsageError } from './exit.ts'

/** What the command line says about where to look. */
export interface CollectorSettings {
  /** `--endpoint`: origin of the metadata service. */
  readonly endpoint?: string
  /** `--region`. */
  readonly region?: string
  /** `--resource`. */
  readonly resource?: string
  /** `--cluster`. */
  readonly cluster?: string
  /** `--token-file`. */
  readonly tokenFile?: string
}

/** How a type of evidence is collected on this machine. */
export interface CollectorType {
  /** `key`: the nonce and key of a challenge are needed. `audience`: so they are, or the audience alone. `none`: it binds to nothing. */
  readonly needs: 'key' | 'audience' | 'none'
  collector(settings: CollectorSettings): EvidenceCollector
}

/** Every type that this machine may have. A TPM is collected by the agent, which answers its challenge of two steps. */
export const COLLECTOR_TYPES: { readonly [type: string]: CollectorType } = {
  'aws-iid': { needs: 'none', collector: (settings) => awsIidCollector(metadata(settings)) },
  'aws-sts': {
    needs: 'audience',
    collector(settings) {
      const { region } = settings
      if (region === undefined) throw new UsageError('aws-sts needs --region, the region whose endpoint will be asked')
      return awsStsCollector({ region, credentials: () => awsInstanceCredentials(metadata(settings)) })
    },
  },
  azure: { needs: 'key', collector: (settings) => azureCollector(metadata(settings)) },
  'azure-msi': {
    needs: 'none',
    collector(settings) {
      const { resource } = settings
      if (resource === undefined)
        throw new UsageError('azure-msi needs --resource, the application id URI of the server')
      return azureMsiCollector({ ...metadata(settings), resource })
    },
  },
  gcp: { needs: 'audience', collector: (settings) => gcpCollector(metadata(settings)) },
  github: { needs: 'audience', collector: () => githubCollector({ env: process.env, exchange: githubExchange() }) },
  kubernetes: {
    needs: 'audience',
    collector: ({ cluster, tokenFile }) =>
      kubernetesCollector({
        env: process.env,
        ...(cluster === undefined ? {} : { cluster }),
        ...(tokenFile === undefined ? {} : { projectedToken: tokenFile }),
      }),
  },
  tdx: { needs: 'key', collector: () => tdxCollector({ name: () => randomUUID() }) },
}

function metadata({ endpoint }: CollectorSettings): MetadataOptions {
  return { exchange: metadataExchange(), ...(endpoint === undefined ? {} : { endpoint }) }
}

// The runner says where its token service is: that host, and no other.
function githubExchange(): Exchange {
  const [, host] = /^https:\/\/([^/?#]+)/.exec(process.env.ACTIONS_ID_TOKEN_REQUEST_URL ?? '') ?? []
  return exchangeThrough(outbound({ purposes: { github: { hosts: host === undefined ? [] : [host] } } }), 'github')
}
