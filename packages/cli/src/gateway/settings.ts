import type { AuthenticationMethod, RequiredBinding } from 'aims/authentication'
import type { JsonValue } from 'aims/base'
import type { GatewayRoute, ListenAddress, ServiceAddress } from 'aims/gateway'
import { anyOf, type IdMatcher, parseWorkloadSpiffeId, type SpiffeId } from 'aims/identifiers'
import {
  duration,
  flag,
  integer,
  optionalDuration,
  optionalPath,
  type SettingsTable,
  type SettingType,
} from 'aims-server'
import {
  type ReplayPlace,
  readAddress,
  readBinding,
  readList,
  readMatcher,
  readMethod,
  readReplayPlace,
  readRoutes,
  readText,
} from './setting-values.ts'

/** The configuration of a gateway, complete with defaults. Durations are seconds. */
export interface GatewayConfiguration {
  readonly 'gateway.id': SpiffeId | undefined
  readonly 'gateway.audiences': readonly string[]
  readonly 'gateway.origins': readonly string[]
  readonly 'gateway.methods': readonly AuthenticationMethod[] | undefined
  readonly 'gateway.requireBinding': RequiredBinding
  readonly 'gateway.callers': IdMatcher | undefined
  readonly 'gateway.routes': readonly GatewayRoute[] | undefined
  readonly 'gateway.policies': string | undefined
  readonly 'gateway.serviceId': SpiffeId | undefined
  readonly 'gateway.listen': ListenAddress
  readonly 'gateway.tls': boolean
  readonly 'gateway.proxies': IdMatcher | undefined
  readonly 'gateway.vouchesFor': IdMatcher | undefined
  readonly 'gateway.service': ServiceAddress | undefined
  readonly 'gateway.serviceTimeout': number
  readonly 'gateway.maxBody': number
  readonly 'gateway.seesBodies': boolean
  readonly 'gateway.acceptUncheckedDigest': boolean
  readonly 'gateway.acceptJoinedHeaders': boolean
  readonly 'gateway.health': ListenAddress | undefined
  readonly 'gateway.replayStore': ReplayPlace | undefined
  readonly 'gateway.replaySecret': string | undefined
  readonly 'gateway.replayPassword': string | undefined
  readonly 'gateway.replayAuthorities': string | undefined
  readonly 'gateway.acceptEmptyReplayStore': boolean
  readonly 'gateway.revocationStaleness': number | undefined
  readonly 'gateway.reportTo': string | undefined
}

const texts: SettingType<readonly string[]> = {
  name: 'list of texts',
  fromText: (text) => text.split(',').map((one) => one.trim()),
  read: (value) => readList(value).map(readText),
}

const methods: SettingType<readonly AuthenticationMethod[] | undefined> = {
  name: 'list of methods or null',
  fromText: (text) => text.split(','),
  read: (value) => (value === null ? undefined : readList(value).map(readMethod)),
}

const matchers: SettingType<IdMatcher | undefined> = {
  name: 'list of SPIFFE IDs, or null',
  fromText: (text) => text.split(','),
  read: (value) => (value === null ? undefined : anyOf(...readList(value).map(readMatcher))),
}

const socketMode = 0o660

const listen: SettingType<ListenAddress> = {
  name: 'address',
  read: (value) => withMode(readAddress(value)),
  print: (address) => ('path' in address ? `unix://${address.path}` : `${address.host}:${address.port}`),
}

function withMode(address: ServiceAddress): ListenAddress {
  return 'path' in address ? { ...address, mode: socketMode } : address
}

function optional<T>(name: string, read: (value: JsonValue) => T): SettingType<T | undefined> {
  return { name: `${name} or null`, read: (value) => (value === null ? undefined : read(value)) }
}

/** Every setting. The table in `docs/gateways.md` is made from this one. */
export const GATEWAY_SETTINGS: SettingsTable<GatewayConfiguration> = {
  'gateway.id': {
    type: optional('SPIFFE ID', (value) => parseWorkloadSpiffeId(readText(value))),
    default: { value: undefined },
    doc: 'Which of its identities the gateway uses, where the Workload API gives it several. Without it the first.',
  },
  'gateway.audiences': {
    type: texts,
    doc: 'The URIs of the service: a proof must be for one of them, byte for byte. At least one.',
  },
  'gateway.origins': {
    type: texts,
    default: { value: [] },
    doc: 'Origins of the service, e.g. `https://api.example.com`: with them the audience of a proof may also be the URI of its request.',
  },
  'gateway.methods': {
    type: methods,
    default: { value: undefined },
    doc: 'How callers may prove themselves. Without it `http-signature` and `wit+wpt`, and `mtls` for a sidecar with TLS.',
  },
  'gateway.requireBinding': {
    type: {
      name: 'list of `method`, `target`, `body`',
      fromText: (text) => text.split(','),
      read: readBinding,
      print: () => 'none',
    },
    default: { value: {} },
    doc: 'What a proof must name of its request. What it names is compared in any case.',
  },
  'gateway.callers': {
    type: matchers,
    default: { value: undefined },
    doc: 'Who may call at all: SPIFFE IDs, or all below one (`spiffe://example.com/agent/*`). Without it every workload of the trust domains whose bundles the gateway has.',
  },
  'gateway.routes': {
    type: { name: 'list of routes or null', read: (value) => (value === null ? undefined : readRoutes(value)) },
    default: { value: undefined },
    doc: 'What parts of the service ask for: [routes](#routes). Without a list every path needs a caller.',
  },
  'gateway.policies': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'Directory of Cedar policies that are asked once the caller is known. Read at the start, and again on SIGHUP.',
  },
  'gateway.serviceId': {
    type: optional('SPIFFE ID', (value) => parseWorkloadSpiffeId(readText(value))),
    default: { value: undefined },
    doc: 'What policies, and rights of sub-agents, call the service. Without it the SPIFFE ID of the gateway.',
  },
  'gateway.listen': {
    type: listen,
    default: { value: { host: '127.0.0.1', port: 8000 } },
    doc: 'Where the gateway listens: `127.0.0.1:8000`, or `unix:///run/aims/gateway.sock` for its user and group.',
  },
  'gateway.tls': {
    type: flag,
    default: { value: false },
    doc: 'TLS 1.3 with the SVID of the gateway. A sidecar asks callers for a certificate; one that is asked by a proxy demands that of the proxy.',
  },
  'gateway.proxies': {
    type: matchers,
    default: { value: undefined },
    doc: 'With TLS: the SPIFFE IDs of the proxies that may ask, or that may vouch for callers (`forwarded`).',
  },
  'gateway.vouchesFor': {
    type: matchers,
    default: { value: undefined },
    doc: 'For `forwarded`: whom these proxies may name as callers.',
  },
  'gateway.service': {
    type: optional('address', readAddress),
    default: { value: undefined },
    doc: 'For a sidecar: the service behind it, `127.0.0.1:8080` or `unix:///run/events-api/http.sock`. Plain HTTP, so only on this machine.',
  },
  'gateway.serviceTimeout': {
    type: duration,
    default: { value: 60 },
    doc: 'How long nothing may come from or go to the service before it is given up.',
  },
  'gateway.maxBody': {
    type: integer(1, 16_777_216),
    default: { value: 262_144 },
    doc: 'Bytes of a body that a proof names: it is read whole before it goes on.',
  },
  'gateway.seesBodies': {
    type: flag,
    default: { value: false },
    doc: 'For `ext-authz`: Envoy has `with_request_body` and `pack_as_bytes`.',
  },
  'gateway.acceptUncheckedDigest': {
    type: flag,
    default: { value: false },
    doc: 'Where bodies are not seen: accept proofs that name one, without comparing it. They do not cover it then.',
  },
  'gateway.acceptJoinedHeaders': {
    type: flag,
    default: { value: false },
    doc: 'For `ext-authz` of an Envoy without `encode_raw_headers`: judge header lines that Envoy has joined.',
  },
  'gateway.health': {
    type: optional('address', (value) => withMode(readAddress(value))),
    default: { value: undefined },
    doc: 'A second address, which answers every request with 200 while the gateway takes requests.',
  },
  'gateway.replayStore': {
    type: {
      name: 'path, URL or null',
      read: (value, base) => (value === null ? undefined : readReplayPlace(value, base)),
    },
    default: { value: undefined },
    doc: 'Where used proofs are kept: a file for the gateways of one machine, `redis://host:6379` or `postgres://user@host:5432/database` for those on many. Other machines are reached by TLS. Without it in memory, for one gateway.',
  },
  'gateway.replaySecret': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'With a server for used proofs: a file of at least 32 random bytes, the same for all gateways that share it. What is kept tells nothing without it.',
  },
  'gateway.replayPassword': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'A file with the password for that server.',
  },
  'gateway.replayAuthorities': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'A file with the authorities of that server, PEM. Without it those of the system.',
  },
  'gateway.acceptEmptyReplayStore': {
    type: flag,
    default: { value: false },
    doc: 'Take a Redis without anything in it for a new one. Otherwise proofs that could have been used before are refused for the first minutes, because it may have lost them.',
  },
  'gateway.revocationStaleness': {
    type: optionalDuration,
    default: { value: undefined },
    doc: 'Refuse revoked callers, by lists that the agent relays and that are not older than this, at least `15s`; with older ones nobody is let in. Without it credentials count until they expire.',
  },
  'gateway.reportTo': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'API socket of an AIMS server that records (`api.reporterUids`): nothing is let through that it has not recorded. Without it records are lines on standard output.',
  },
}
