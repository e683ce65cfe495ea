import { lookup } from 'node:dns/promises'
import { BlockList, isIP, isIPv4 } from 'node:net'
import { AimsError } from './errors.ts'

/** IPv4 that is not globally reachable unicast. @see IANA IPv4 Special-Purpose Address Registry */
const SPECIAL_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
  // The host agent of Azure: global by its number, inside by its use.
  '168.63.129.16/32',
]
/** Outside of this nothing of IPv6 is global unicast. */
const GLOBAL_IPV6 = ['2000::/3']
/** What is special in it. @see IANA IPv6 Special-Purpose Address Registry */
const SPECIAL_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']
/** Where clouds answer whoever asks. Never reached, whatever is configured. */
const METADATA = [
  '169.254.0.0/16',
  'fe80::/10',
  'fd00:ec2::/32',
  'fd20:ce::254/128',
  '168.63.129.16/32',
  '100.100.100.200/32',
  // The three of IPv4 behind NAT64.
  '64:ff9b::a9fe:0/112',
  '64:ff9b::a83f:8110/128',
  '64:ff9b::6464:64c8/128',
]

/** A set of addresses, made of networks such as `10.0.0.0/8` or `fd00::/8`. */
export interface Networks {
  has(address: string): boolean
}

/** @throws TypeError for what is no network */
export function networks(cidrs: readonly string[]): Networks {
  const list = new BlockList()
  for (const cidr of cidrs) {
    const [, address = '', prefix] = /^([0-9a-f.:]+)\/([0-9]{1,3})$/.exec(cidr) ?? []
    const family = isIP(address)
    if (family === 0 || Number(prefix) > (family === 4 ? 32 : 128)) throw new TypeError(`not a network: ${cidr}`)
    list.addSubnet(address, Number(prefix), family === 4 ? 'ipv4' : 'ipv6')
  }
  return { has: (address) => isIP(address) !== 0 && list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6') }
}

const specialIpv4 = networks(SPECIAL_IPV4)
const globalIpv6 = networks(GLOBAL_IPV6)
const specialIpv6 = networks(SPECIAL_IPV6)
const metadata = networks(METADATA)

/** True for addresses of the public internet. IPv4 written as IPv6 is none of them. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 4) return !specialIpv4.has(address)
  return family === 6 && globalIpv6.has(address) && !specialIpv6.has(address)
}

/** True for addresses at which clouds hand out credentials. */
export function isMetadataAddress(address: string): boolean {
  return metadata.has(address)
}

/** Tells every address of a name. */
export type Resolver = (host: string) => Promise<readonly string[]>

/** The resolver of the system. */
export const resolveBySystem: Resolver = async (host) =>
  (await lookup(host, { all: true, order: 'verbatim' })).map(({ address }) => address)

const MAX_ADDRESSES = 32

/**
 * The addresses of a host, of which every one may be reached: public, or in `extra`; never those at which clouds hand
 * out credentials. One bad address among several refuses: whoever answers for the name decides which one comes first
 * next time. Connect to one of these, and do not resolve the name again.
 *
 * @returns At most four.
 * @throws {@link AimsError} `outbound.unresolvable`, `outbound.address_refused`
 */
export async function vettedAddresses(host: string, extra: Networks, resolve: Resolver): Promise<readonly string[]> {
  const addresses = isIPv4(host) ? [host] : await resolve(host).catch(unresolvable)
  if (addresses.length === 0) return unresolvable()
  const isFine = (address: string): boolean =>
    !isMetadataAddress(address) && (isPublicAddress(address) || extra.has(address))
  if (addresses.length > MAX_ADDRESSES || !addresses.every(isFine)) {
    throw new AimsError('outbound.address_refused', 'the host has an address that may not be reached')
  }
  return addresses.slice(0, 4)
}

function unresolvable(cause?: unknown): never {
  throw new AimsError('outbound.unresolvable', 'the name has no address', { cause })
}
