import { asBuffer } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { parseJsonObject } from '../../base/json.ts'
import { withSecrets } from '../../base/secret.ts'
import type { AwsCredentials } from '../aws-sts/sigv4.ts'
import type { Exchange } from '../exchange.ts'
import type { EvidenceCollector } from './collector.ts'
import { askMetadata } from './metadata.ts'

/** How to reach a metadata service. */
export interface MetadataOptions {
  /** E.g. `metadataExchange()`. */
  readonly exchange: Exchange
  /** Origin. Default `http://169.254.169.254`. */
  readonly endpoint?: string
}

/** The origin of the metadata services of AWS and Azure. */
export const METADATA_ENDPOINT = 'http://169.254.169.254'
const TOKEN_SECONDS = '60'
const ROLES = '/latest/meta-data/iam/security-credentials/'

/**
 * Makes the collector of `aws-iid`: it asks the EC2 metadata service, version 2, for the `rsa2048` form of the identity
 * document. The document answers no challenge. Without a metadata service there is no evidence.
 *
 * @see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
 */
export function awsIidCollector(options: MetadataOptions): EvidenceCollector {
  return {
    type: 'aws-iid',
    async collect() {
      const read = await openSession(options)
      return read?.('/latest/dynamic/instance-identity/rsa2048')
    },
  }
}

/**
 * Asks the EC2 metadata service for the credentials of the role of this instance, to sign evidence of type `aws-sts` with.
 * The secret parts are not in JSON or in what `inspect` shows. `undefined` without a metadata service.
 *
 * @throws {@link AimsError} `attestation.collection_failed`, also when the instance has no role
 */
export async function awsInstanceCredentials(options: MetadataOptions): Promise<AwsCredentials | undefined> {
  const read = await openSession(options)
  if (read === undefined) return undefined
  const role = asBuffer(await read(ROLES))
    .toString('latin1')
    .trim()
  if (!/^[A-Za-z0-9+=,.@_-]{1,64}$/.test(role)) throw failed('the instance has no role')
  const answer = await read(`${ROLES}${encodeURIComponent(role)}`)
  const document = refuseAs('attestation.collection_failed', 'the credentials are not JSON', () =>
    parseJsonObject(answer),
  )
  const { Code: code, AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, Token: sessionToken } = document
  const isUsable =
    code === 'Success' &&
    typeof accessKeyId === 'string' &&
    typeof secretAccessKey === 'string' &&
    typeof sessionToken === 'string'
  if (!isUsable) throw failed('the role of the instance has no credentials')
  return withSecrets({ accessKeyId }, { secretAccessKey, sessionToken })
}

type Read = (path: string) => Promise<Uint8Array>

async function openSession({ exchange, endpoint = METADATA_ENDPOINT }: MetadataOptions): Promise<Read | undefined> {
  const answer = await askMetadata(exchange, {
    method: 'PUT',
    url: `${endpoint}/latest/api/token`,
    headers: { 'x-aws-ec2-metadata-token-ttl-seconds': TOKEN_SECONDS },
  })
  if (answer === undefined) return undefined
  const token = asBuffer(answer).toString('latin1')
  if (!/^[!-~]{1,256}$/.test(token)) throw failed('the session token is not text')
  return async (path) => {
    const headers = { 'x-aws-ec2-metadata-token': token }
    const body = await askMetadata(exchange, { method: 'GET', url: `${endpoint}${path}`, headers })
    if (body === undefined) throw failed('the metadata service does not answer any more')
    return body
  }
}

function failed(message: string): AimsError {
  return new AimsError('attestation.collection_failed', message)
}
