import { stsEndpoints } from '../aws-sts/endpoints.ts'
import { BINDING_HEADER, BODY, CONTENT_TYPE } from '../aws-sts/format.ts'
import { type AwsCredentials, canonicalQuery, signatureV4, signedHeaders, sigV4Date } from '../aws-sts/sigv4.ts'
import type { EvidenceCollector } from './collector.ts'

/** Where the credentials come from, and whom AWS will be asked as. */
export interface AwsStsCollectorOptions {
  /** E.g. `() => awsInstanceCredentials(...)`. `undefined`: there are none, so there is no evidence. */
  readonly credentials: () => Promise<AwsCredentials | undefined>
  /** The region whose endpoint will be asked, e.g. `eu-central-1`. */
  readonly region: string
  /** As {@link AwsStsCollection.expires}. */
  readonly expires?: number
}

/** Makes the collector of `aws-sts`: it signs a request that only the server of the challenge can have answered. */
export function awsStsCollector({ credentials, ...options }: AwsStsCollectorOptions): EvidenceCollector {
  return {
    type: 'aws-sts',
    async collect({ audience, now }) {
      const found = await credentials()
      return found === undefined ? undefined : collectAwsSts({ ...options, credentials: found, binding: audience, now })
    },
  }
}

/** What is signed, and with what. */
export interface AwsStsCollection {
  /** E.g. those of {@link awsInstanceCredentials}. */
  readonly credentials: AwsCredentials
  /** The region whose endpoint will be asked, e.g. `eu-central-1`. */
  readonly region: string
  /** `bindingAudience('aws-sts', challenge, trustDomain)`. */
  readonly binding: string
  /** Seconds since the epoch. */
  readonly now: number
  /** Presigns an address that is good for so many seconds, at most 900, instead of a request that is good for 15 minutes. */
  readonly expires?: number
}

/**
 * Signs a request for sts:GetCallerIdentity that is of use to one challenge only: evidence of type `aws-sts`. Sends
 * nothing. The evidence holds no secret, but whoever has it can have it answered until it ends.
 *
 * @throws TypeError for something that is not the name of a region, or an `expires` above 900
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
 */
export function collectAwsSts(collection: AwsStsCollection): Uint8Array {
  const { credentials, region, binding, now, expires } = collection
  const [endpoint] = stsEndpoints([region]).values()
  if (endpoint === undefined || !Number.isInteger(expires ?? 0) || (expires ?? 0) > 900 || (expires ?? 0) < 0) {
    throw new TypeError('expires takes 0 to 900 seconds')
  }
  const { accessKeyId, sessionToken } = credentials
  const date = sigV4Date(now)
  const credential = `${accessKeyId}/${date.slice(0, 8)}/${region}/sts/aws4_request`
  const common = { path: '/', region, service: 'sts', date }
  const url = `https://${endpoint.host}/`
  if (expires !== undefined) {
    const query = {
      Action: 'GetCallerIdentity',
      Version: '2011-06-15',
      'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
      'X-Amz-Credential': credential,
      'X-Amz-Date': date,
      'X-Amz-Expires': String(expires),
      ...(sessionToken === undefined ? {} : { 'X-Amz-Security-Token': sessionToken }),
      'X-Amz-SignedHeaders': `host;${BINDING_HEADER}`,
    }
    const headers = { host: endpoint.host, [BINDING_HEADER]: binding }
    const signature = signatureV4({ ...common, method: 'GET', query, headers, body: '' }, credentials)
    const address = `${url}?${canonicalQuery({ ...query, 'X-Amz-Signature': signature })}`
    return encode({ method: 'GET', url: address, headers: { [BINDING_HEADER]: binding } })
  }
  const headers = {
    'content-type': CONTENT_TYPE,
    [BINDING_HEADER]: binding,
    'x-amz-date': date,
    ...(sessionToken === undefined ? {} : { 'x-amz-security-token': sessionToken }),
  }
  const signed = { ...headers, host: endpoint.host }
  const signature = signatureV4({ ...common, method: 'POST', query: {}, headers: signed, body: BODY }, credentials)
  const authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${signedHeaders(signed)}, Signature=${signature}`
  return encode({ method: 'POST', url, headers: { ...headers, authorization }, body: BODY })
}

function encode(evidence: object): Uint8Array {
  return Buffer.from(JSON.stringify(evidence))
}
