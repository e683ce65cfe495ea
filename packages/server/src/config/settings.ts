import { join } from 'node:path'
import type { JsonObject } from 'aims/base'
import type { TrustDomain } from 'aims/identifiers'
import { AGENT_PREFIXES } from 'aims/provisioning'
import type { Delegation } from '../registration/delegation.ts'
import { delegationList } from './delegation-setting.ts'
import { type ConfiguredRelationship, relationships } from './federation-setting.ts'
import {
  duration,
  type EnabledProfile,
  fileMode,
  flag,
  hostNames,
  idPrefixes,
  objectByName,
  oneOf,
  optionalDuration,
  optionalPath,
  optionalPort,
  optionalText,
  path,
  port,
  profiles,
  rate,
  type SettingType,
  spiffeIds,
  text,
  trustDomainName,
  uids,
  variableNames,
} from './setting-types.ts'

/** The configuration of a server and of the agent beside it, complete with defaults. Durations are seconds. */
export interface Configuration {
  readonly trustDomain: TrustDomain
  readonly dataDirectory: string
  readonly keyEncryptionKeyFile: string
  readonly 'rollback.file': string
  readonly 'listen.host': string
  readonly 'listen.port': number
  readonly 'listen.dnsNames': readonly string[]
  readonly 'listen.allowedHosts': readonly string[]
  readonly 'listen.openMetrics': boolean
  readonly 'listen.workloadApi': string | undefined
  readonly 'api.socket': string
  readonly 'api.adminUids': readonly number[]
  readonly 'api.agentUids': readonly number[]
  readonly 'api.reporterUids': readonly number[]
  readonly 'ttl.x509.default': number
  readonly 'ttl.x509.max': number
  readonly 'ttl.jwt.default': number
  readonly 'ttl.jwt.max': number
  readonly 'ttl.wit.default': number
  readonly 'ttl.wit.max': number
  readonly 'keys.lifetime': number
  readonly 'keys.publishAhead': number
  readonly 'keys.manager': JsonObject
  readonly 'keys.upstream': JsonObject
  readonly 'keys.downstreamTtl': number | undefined
  readonly 'bundle.refreshHint': number
  readonly 'bundle.web.host': string
  readonly 'bundle.web.port': number | undefined
  readonly 'bundle.web.certificateFile': string | undefined
  readonly 'bundle.web.keyFile': string | undefined
  readonly federation: readonly ConfiguredRelationship[]
  readonly issuer: string
  readonly profiles: readonly EnabledProfile[]
  readonly 'policies.directory': string | undefined
  readonly attestation: JsonObject
  readonly 'entries.agentPrefixes': readonly string[]
  readonly 'entries.delegations': readonly Delegation[]
  readonly 'agents.attestation': JsonObject
  readonly 'agents.ttl': number
  readonly 'limits.anonymous': number
  readonly 'limits.workload': number
  readonly 'limits.agent': number
  readonly 'limits.issuance': number
  readonly 'log.origin': string
  readonly 'agent.socket': string
  readonly 'agent.socketMode': number
  readonly 'agent.serverSocket': string
  readonly 'agent.revocationStaleness': number
  readonly 'agent.server': string | undefined
  readonly 'agent.bundle': string | undefined
  readonly 'agent.serverId': string | undefined
  readonly 'agent.workloadApi': string | undefined
  readonly 'agent.attestation': string
  readonly 'agent.joinTokenFile': string | undefined
  readonly 'agent.certificate': string | undefined
  readonly 'agent.key': string | undefined
  readonly 'agent.dataDirectory': string | undefined
  readonly 'agent.sds.defaultSvid': string
  readonly 'agent.sds.defaultBundle': string
  readonly 'agent.sds.allBundles': string
  readonly 'agent.sds.validator': 'spiffe' | 'trusted-ca'
  readonly 'agent.broker.address': string | undefined
  readonly 'agent.broker.spiffeId': string | undefined
  readonly 'agent.broker.callers': readonly string[]
  readonly 'agent.egress.enabled': boolean
  readonly 'agent.egress.socket': string
  readonly 'agent.egress.socketMode': number
  readonly 'agent.egress.port': number | undefined
  readonly 'agent.egress.rules': JsonObject
  readonly 'agent.egress.secretsFile': string
  readonly 'agent.egress.keyFile': string
  readonly 'agent.docker.socket': string | undefined
  readonly 'agent.docker.environment': readonly string[]
}

/** One line of the table: what a key means, how it is read, and what holds when it is absent. */
export interface Setting<T, C = Configuration> {
  readonly type: SettingType<T>
  /** A value, or how it follows from other settings. Absent: the key is mandatory. */
  readonly default?: { readonly value: T } | { readonly from: (config: C) => T; readonly shown: string }
  readonly doc: string
}

/** Every setting. `docs/configuration.md` is made from this table. Defaults may depend on settings above them. */
export const SETTINGS: { readonly [Key in keyof Configuration]: Setting<Configuration[Key]> } = {
  trustDomain: {
    type: trustDomainName,
    doc: 'The trust domain this server speaks for, e.g. `example.com`. It cannot be changed later.',
  },
  dataDirectory: {
    type: path,
    default: { value: '/var/lib/aims' },
    doc: 'Where keys, entries and the log are kept. Created with mode 0700; one server per directory.',
  },
  keyEncryptionKeyFile: {
    type: path,
    default: { from: (c) => join(c.dataDirectory, 'kek'), shown: '`<dataDirectory>/kek`' },
    doc: 'The 32 random bytes that wrap all stored keys. Created at the first start, mode 0600. Keep it apart from backups of the data directory.',
  },
  'rollback.file': {
    type: path,
    default: {
      from: (c) => `${c.keyEncryptionKeyFile}.rollback`,
      shown: '`<keyEncryptionKeyFile>.rollback`',
    },
    doc: 'Where the server remembers how far store and log had come, so that older copies of them are refused. Best apart from the data directory, and not in its backups.',
  },
  'listen.host': { type: text, default: { value: '127.0.0.1' }, doc: 'Address of the HTTPS listener.' },
  'listen.port': {
    type: port,
    default: { value: 8443 },
    doc: 'Port of the HTTPS listener; 0 takes any free one.',
  },
  'listen.dnsNames': {
    type: hostNames,
    default: { value: ['localhost'] },
    doc: 'DNS names in the certificate of the HTTPS listener, beside its SPIFFE ID.',
  },
  'listen.allowedHosts': {
    type: hostNames,
    default: { value: [] },
    doc: 'Further names that the `Host` header may have, beside `listen.host` and `listen.dnsNames`.',
  },
  'listen.openMetrics': {
    type: flag,
    default: { value: false },
    doc: 'Whether everybody may read `/metrics` over HTTPS. Otherwise operators alone; on the Unix socket everybody who reaches it.',
  },
  'listen.workloadApi': {
    type: optionalText,
    default: { value: undefined },
    doc: 'Workload API of another trust domain, e.g. `unix:///run/spire/agent.sock`: the HTTPS listener shows the X.509-SVID that it gives, see [under SPIRE](migrating-from-spire.md#run-under-spire). Without one, an SVID of its own.',
  },
  'api.socket': {
    type: path,
    default: { from: (c) => join(c.dataDirectory, 'api.sock'), shown: '`<dataDirectory>/api.sock`' },
    doc: 'Unix socket of the administration and agent API. Callers are known by what the kernel says about them.',
  },
  'api.adminUids': {
    type: uids,
    default: { value: [] },
    doc: 'Users who may administer, beside root and the user of the server. They must be able to reach the socket.',
  },
  'api.agentUids': {
    type: uids,
    default: { value: [] },
    doc: 'Users whose processes may act as node agent: read entries and ask for credentials.',
  },
  'api.reporterUids': {
    type: uids,
    default: { value: [] },
    doc: 'Users whose processes may report events and ask for decisions over the socket.',
  },
  'ttl.x509.default': {
    type: duration,
    default: { value: 3600 },
    doc: 'Lifetime of an X.509-SVID whose entry names none.',
  },
  'ttl.x509.max': {
    type: duration,
    default: { value: 86_400 },
    doc: 'The longest X.509-SVID lifetime an entry may ask for.',
  },
  'ttl.jwt.default': { type: duration, default: { value: 300 }, doc: 'Lifetime of a JWT-SVID whose entry names none.' },
  'ttl.jwt.max': {
    type: duration,
    default: { value: 3600 },
    doc: 'The longest JWT-SVID lifetime an entry may ask for.',
  },
  'ttl.wit.default': { type: duration, default: { value: 3600 }, doc: 'Lifetime of a WIT whose entry names none.' },
  'ttl.wit.max': { type: duration, default: { value: 86_400 }, doc: 'The longest WIT lifetime an entry may ask for.' },
  'keys.lifetime': {
    type: duration,
    default: { value: 604_800 },
    doc: 'How long a CA or token key lives. A successor is published at half of it and takes over at three quarters. At least four times the longest credential.',
  },
  'keys.publishAhead': {
    type: duration,
    default: { value: 300 },
    doc: 'How long a new key is in the bundle before it signs, at least.',
  },
  'keys.manager': {
    type: objectByName,
    default: { value: {} },
    doc: 'Where new signing keys are made. Empty: in the store, wrapped. `pkcs11` with `module`, `token` and `pinFile`: in an HSM; `aws-kms`, `gcp-kms` or `azure-key-vault`: in a cloud; see [key managers](operations.md#key-managers).',
  },
  'keys.upstream': {
    type: objectByName,
    default: { value: {} },
    doc: 'What signs the CAs of this server. Empty: they sign themselves. `file` with `certificate`, `key` and, where the root is elsewhere, `bundle`: a CA on disk; `aims` or `spire` with `server` and `workload`: a server above this one; see [upstream authority](operations.md#upstream-authority).',
  },
  'keys.downstreamTtl': {
    type: optionalDuration,
    default: { value: undefined },
    doc: 'How long the CA of a server below this one may live. Without it there are none: its own CAs certify no others. See [servers below others](operations.md#servers-below-others).',
  },
  'bundle.refreshHint': {
    type: duration,
    default: { value: 60 },
    doc: '`spiffe_refresh_hint` of the bundle: how often others should fetch it.',
  },
  'bundle.web.host': {
    type: text,
    default: { value: '0.0.0.0' },
    doc: 'Address of the bundle endpoint with a certificate of the web (profile `https_web`).',
  },
  'bundle.web.port': {
    type: optionalPort,
    default: { value: undefined },
    doc: 'Its port. Without one there is no such endpoint; `GET /v1/bundle` of the HTTPS listener is one with the SVID of the server (`https_spiffe`).',
  },
  'bundle.web.certificateFile': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'Its certificate and chain, PEM. Read again when the file changes.',
  },
  'bundle.web.keyFile': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'The private key of that certificate, PEM, mode 0600.',
  },
  federation: {
    type: relationships,
    default: { value: [] },
    doc: 'Other trust domains whose bundles are fetched: [below](#federation). Relationships that are set over the API stand beside these.',
  },
  issuer: {
    type: text,
    default: { from: (c) => `https://${c.trustDomain}`, shown: '`https://<trustDomain>`' },
    doc: '`iss` of WITs in profile `aims-00`. Nothing is ever fetched from it.',
  },
  profiles: {
    type: profiles,
    default: { value: [] },
    doc: 'Compatibility profiles to accept and issue beside `wimse`, each with its last day (UTC), e.g. `aims-00: 2027-03-31`.',
  },
  'policies.directory': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'Directory of Cedar policies. Without one every decision is a deny.',
  },
  attestation: {
    type: objectByName,
    default: { value: {} },
    doc: 'The types of evidence that are accepted over the API, each with its settings: [below](#attestation). A type that is not here is off.',
  },
  'entries.agentPrefixes': {
    type: idPrefixes,
    default: { value: AGENT_PREFIXES },
    doc: 'Where agents are: entries below these paths need an owner, a purpose, and selectors that tell one agent from another.',
  },
  'entries.delegations': {
    type: delegationList,
    default: { value: [] },
    doc: 'Who may register entries without administering: per `registrar` (a SPIFFE ID, or `unix:uid:1000`) the `prefixes` of SPIFFE IDs, the `selectorTypes`, and optionally `requiredSelectors`, `dnsNames`, `agents` and `maxTtls`; see docs/layers/4-provisioning.md.',
  },
  'agents.attestation': {
    type: objectByName,
    default: { value: { 'join-token': {} } },
    doc: 'The types of evidence by which machines become agents, each with its appraisal policy. A type that is not here lets nobody in.',
  },
  'agents.ttl': {
    type: duration,
    default: { from: (c) => c['ttl.x509.default'], shown: '`ttl.x509.default`' },
    doc: 'Lifetime of the X.509-SVID of an agent on another host. It is renewed at half of it.',
  },
  'limits.anonymous': {
    type: rate,
    default: { value: 100 },
    doc: 'Requests a second of one address that proves no identity, ten times as many at once. 0: no limit. See [limits](operations.md#limits).',
  },
  'limits.workload': {
    type: rate,
    default: { value: 100 },
    doc: 'Requests a second of one workload, registrar or user without further rights. 0: no limit.',
  },
  'limits.agent': {
    type: rate,
    default: { value: 1000 },
    doc: 'Requests a second of one agent on another host. 0: no limit.',
  },
  'limits.issuance': {
    type: rate,
    default: { value: 100 },
    doc: 'Credentials a second, issued or refused, for one entry through one agent. 0: no limit.',
  },
  'log.origin': {
    type: text,
    default: { from: (c) => `${c.trustDomain}/aims-log`, shown: '`<trustDomain>/aims-log`' },
    doc: 'Name of the transparency log in its checkpoints. It cannot be changed later.',
  },
  'agent.socket': {
    type: path,
    default: { value: '/run/aims/workload.sock' },
    doc: 'Unix socket of the SPIFFE Workload API (`SPIFFE_ENDPOINT_SOCKET=unix://...`).',
  },
  'agent.socketMode': {
    type: fileMode,
    default: { value: 0o660 },
    doc: 'Who may ask on that socket at all: `0660` for the user and group of the agent, `0666` for all. Who gets what is decided by attestation.',
  },
  'agent.serverSocket': {
    type: path,
    default: { from: (c) => c['api.socket'], shown: '`api.socket`' },
    doc: 'The socket on which the agent finds its server.',
  },
  'agent.revocationStaleness': {
    type: duration,
    default: { value: 60 },
    doc: 'How old the revocation list may be by which `ValidateJWTSVID` answers and the credential broker believes destinations, at least `15s`. With an older one there is no answer, and none is believed.',
  },
  'agent.server': {
    type: optionalText,
    default: { value: undefined },
    doc: 'For an agent on another host: the server, as `https://HOST:PORT`. Without it the server is on this host.',
  },
  'agent.bundle': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'With `agent.server`: file with the SPIFFE bundle of the trust domain, by which the server is recognised. Needed.',
  },
  'agent.serverId': {
    type: optionalText,
    default: { value: undefined },
    doc: 'With `agent.workloadApi`: the SPIFFE ID of a server that shows an X.509-SVID of that trust domain (`listen.workloadApi`). It is recognised by the bundles of that Workload API, and `agent.bundle` is not needed.',
  },
  'agent.workloadApi': {
    type: optionalText,
    default: { value: undefined },
    doc: 'Workload API of another trust domain that knows this agent, e.g. `unix:///run/spire/agent.sock`: for `agent.attestation: spiffe`, and for `agent.serverId`.',
  },
  'agent.attestation': {
    type: text,
    default: { value: 'join-token' },
    doc: 'With `agent.server`: the type of evidence that this machine shows, e.g. `join-token`, `x509-pop`, `spiffe`, `tpm`, `aws-iid`.',
  },
  'agent.joinTokenFile': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'File with the join token, unless `AIMS_JOIN_TOKEN` has it.',
  },
  'agent.certificate': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'For `x509-pop`: PEM file with the certificate of this machine and the intermediates.',
  },
  'agent.key': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'For `x509-pop`: PEM file with the key of that certificate.',
  },
  'agent.dataDirectory': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'Where the agent keeps its own key and SVID (0600), so that it need not be attested after a restart. Without it they are in memory alone.',
  },
  'agent.sds.defaultSvid': {
    type: text,
    default: { value: 'default' },
    doc: 'For Envoy: the name of the secret that is the default certificate of a workload.',
  },
  'agent.sds.defaultBundle': {
    type: text,
    default: { value: 'ROOTCA' },
    doc: "For Envoy: the name of the validation context with the authorities of the workload's own trust domain.",
  },
  'agent.sds.allBundles': {
    type: text,
    default: { value: 'ALL' },
    doc: 'For Envoy: the name of the validation context with the authorities of every trust domain that the workload trusts.',
  },
  'agent.sds.validator': {
    type: oneOf('spiffe', 'trusted-ca'),
    default: { value: 'spiffe' },
    doc: 'How Envoy is told to check peers: each trust domain by its own authorities (`spiffe`), or as on the web (`trusted-ca`), for other proxies that have no SPIFFE validator. A node may say otherwise by `disable_spiffe_cert_validation` in its metadata.',
  },
  'agent.broker.address': {
    type: optionalText,
    default: { value: undefined },
    doc: 'Where brokers may ask for the credentials of other processes of this machine (SPIFFE Broker API, incubating): `unix:///run/aims/broker.sock`, or `tcp://` with a loopback address and port. Without it nobody can.',
  },
  'agent.broker.spiffeId': {
    type: optionalText,
    default: { value: undefined },
    doc: 'With `agent.broker.address`: which identity the agent shows to brokers. An entry must give it to the process of the agent.',
  },
  'agent.broker.callers': {
    type: spiffeIds,
    default: { value: [] },
    doc: 'With `agent.broker.address`: the SPIFFE IDs that are brokers. They get the credentials of every workload of this machine.',
  },
  'agent.egress.enabled': {
    type: flag,
    default: { value: false },
    doc: 'Whether the agent is a [credential broker](broker.md) as well, as with `aims agent --broker`.',
  },
  'agent.egress.socket': {
    type: path,
    default: { value: '/run/aims/egress.sock' },
    doc: 'Unix socket of the broker: an HTTP proxy, or a base URL, for agents in any language.',
  },
  'agent.egress.socketMode': {
    type: fileMode,
    default: { value: 0o660 },
    doc: 'Who may connect to that socket at all. Who may ask what, the rules say.',
  },
  'agent.egress.port': {
    type: optionalPort,
    default: { value: undefined },
    doc: 'Port of the broker on 127.0.0.1, for clients that know no Unix sockets; 0 takes any free one. Callers are found by /proc, so the agent runs as root or as their user.',
  },
  'agent.egress.rules': {
    type: objectByName,
    default: { value: {} },
    doc: 'From name to rule: which workload may ask what of which destination, and what the broker attaches. See [rules](broker.md#rules).',
  },
  'agent.egress.secretsFile': {
    type: path,
    default: { value: '/var/lib/aims/egress/secrets.json' },
    doc: 'Secrets of older services, sealed; written by `aims secret put`.',
  },
  'agent.egress.keyFile': {
    type: path,
    default: { from: (c) => `${c['agent.egress.secretsFile']}.key`, shown: '`<agent.egress.secretsFile>.key`' },
    doc: 'The 32 random bytes that seal them. Made by the first `aims secret put`, mode 0600. Keep it out of backups of the secrets.',
  },
  'agent.docker.socket': {
    type: optionalPath,
    default: { value: undefined },
    doc: 'Socket of the Docker Engine, e.g. `/run/docker.sock`: processes in its containers get `docker` selectors beside the `unix` ones. Without one there are none.',
  },
  'agent.docker.environment': {
    type: variableNames,
    default: { value: [] },
    doc: 'Names of environment variables of containers that become `docker:env` selectors. They are recorded: name none that hold secrets.',
  },
}

/** `listen.dnsNames` is `AIMS_LISTEN_DNS_NAMES` in the environment. */
export function environmentName(key: string): string {
  return `AIMS_${key.replaceAll('.', '_').replace(/[A-Z]/g, '_$&').toUpperCase()}`
}
