/** One endpoint of the security token service. */
export interface StsEndpoint {
  readonly host: string
  readonly region: string
  /** `aws`, `aws-cn` ...: the second part of ARNs. */
  readonly partition: string
}

const PARTITIONS: readonly (readonly [prefix: string, partition: string, suffix: string])[] = [
  ['cn-', 'aws-cn', 'amazonaws.com.cn'],
  ['us-gov-', 'aws-us-gov', 'amazonaws.com'],
  ['eusc-', 'aws-eusc', 'amazonaws.eu'],
  ['', 'aws', 'amazonaws.com'],
]
const REGION = /^[a-z]{2,8}(?:-[a-z]{2,10}){1,3}-[0-9]{1,2}$/

/**
 * The endpoints of these regions, by host. That of `us-east-1` includes the global one.
 *
 * @throws TypeError for something that is not the name of a region
 */
export function stsEndpoints(regions: readonly string[]): ReadonlyMap<string, StsEndpoint> {
  const endpoints = new Map<string, StsEndpoint>()
  for (const region of regions) {
    if (!REGION.test(region)) throw new TypeError('regions takes names such as eu-central-1')
    const [, partition = '', suffix = ''] = PARTITIONS.find(([prefix]) => region.startsWith(prefix)) ?? []
    const hosts = [`sts.${region}.${suffix}`, ...(region === 'us-east-1' ? [`sts.${suffix}`] : [])]
    for (const host of hosts) endpoints.set(host, { host, region, partition })
  }
  return endpoints
}

/** The hosts of the endpoints of these regions, for the fetcher that asks them. @throws TypeError as for a region without name */
export function stsHosts(regions: readonly string[]): readonly string[] {
  return [...stsEndpoints(regions).keys()]
}
