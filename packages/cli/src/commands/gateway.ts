import type { JsonValue, Observer } from 'aims/base'
import { FORWARD_AUTH_PROXIES } from 'aims/gateway'
import { loadSettings } from 'aims-server'
import type { Command } from 'commander'
import { UsageError } from '../exit.ts'
import { failureLines } from '../explained.ts'
import { GATEWAY_SETTINGS } from '../gateway/settings.ts'
import { type GatewayMode, startGateway } from '../gateway/start.ts'
import { withExamples } from '../help.ts'
import { output, print } from '../output.ts'
import { reloadOnHangup } from '../reloading.ts'
import { runUntilStopped } from '../running.ts'

interface Options {
  readonly config?: string
  readonly id?: string
  readonly audience?: readonly string[]
  readonly listen?: string
  readonly service?: string
  readonly policies?: string
  readonly reportTo?: string
  readonly proxy?: string
  readonly tls?: true
  readonly seesBodies?: true
  readonly json?: true
}

/** `aims gateway`: authenticates callers in front of a service that has no code for it. */
export function define(command: Command): void {
  withExamples(
    gateway(command, 'sidecar', 'a reverse proxy that lets through who has proven who it is')
      .option('--service <address>', 'the service behind it: 127.0.0.1:8080, unix:///run/api/http.sock')
      .action((options: Options) => run(options, { kind: 'sidecar' })),
    'aims gateway sidecar --audience https://api.example.com --service 127.0.0.1:8080 --listen 0.0.0.0:8443 --tls',
    'aims gateway sidecar --config /etc/aims/gateway.yaml --json',
  )
  withExamples(
    gateway(command, 'ext-authz', 'what Envoy asks about each request, over gRPC')
      .option('--sees-bodies', 'Envoy sends bodies along: with_request_body, pack_as_bytes')
      .action((options: Options) => run(options, { kind: 'ext-authz' })),
    'aims gateway ext-authz --audience https://api.example.com --listen unix:///run/aims/ext-authz.sock --sees-bodies',
  )
  withExamples(
    gateway(command, 'forward-auth', 'what nginx, Traefik and Caddy ask about each request, over HTTP')
      .requiredOption('--proxy <name>', `who asks: ${FORWARD_AUTH_PROXIES.join(', ')}`)
      .action((options: Options) => run(options, { kind: 'forward-auth', proxy: readProxy(options.proxy) })),
    'aims gateway forward-auth --proxy nginx --audience https://api.example.com --listen unix:///run/aims/auth.sock',
  )
}

function gateway(command: Command, name: string, description: string): Command {
  return command
    .command(name)
    .description(description)
    .option('--config <file>', 'configuration file with gateway.* (YAML or JSON); also as AIMS_GATEWAY_* variables')
    .option('--id <spiffe-id>', 'which of its identities the gateway uses; default the first')
    .option('--audience <uri>', 'a URI of the service, as proofs name it; repeat for several', collect)
    .option('--listen <address>', '127.0.0.1:8000, unix:///run/aims/gateway.sock')
    .option('--tls', 'TLS with the SVID of the gateway')
    .option('--policies <directory>', 'Cedar policies to ask once the caller is known')
    .option('--report-to <socket>', 'API socket of the server that records, for aims explain; default standard output')
    .option('--json', 'print one JSON object when ready, and one for each record')
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

function readProxy(name: string | undefined): (typeof FORWARD_AUTH_PROXIES)[number] {
  const proxy = FORWARD_AUTH_PROXIES.find((one) => one === name)
  if (proxy === undefined) throw new UsageError(`--proxy takes one of ${FORWARD_AUTH_PROXIES.join(', ')}`)
  return proxy
}

async function run(options: Options, mode: GatewayMode): Promise<void> {
  const { config } = await loadSettings(GATEWAY_SETTINGS, {
    env: process.env,
    overrides: overridesOf(options),
    ...(options.config === undefined ? {} : { file: options.config }),
  })
  const isJson = options.json === true
  const started = await startGateway(config, mode, isJson ? jsonLines : plainLines)
  // Before anybody knows that it is ready: a signal would end it until then.
  const stop = reloadOnHangup(started.reloadPolicies, isJson)
  const { address: endpoint, spiffeId: id, policySet } = started
  print({ ok: true, gateway: mode.kind, endpoint, id, policySet }, isJson)
  await runUntilStopped(started)
  stop()
}

function overridesOf(options: Options): { [key: string]: JsonValue } {
  const { id, audience, listen, service, policies, reportTo, tls, seesBodies } = options
  return {
    ...(id === undefined ? {} : { 'gateway.id': id }),
    ...(audience === undefined ? {} : { 'gateway.audiences': [...audience] }),
    ...(listen === undefined ? {} : { 'gateway.listen': listen }),
    ...(service === undefined ? {} : { 'gateway.service': service }),
    ...(policies === undefined ? {} : { 'gateway.policies': policies }),
    ...(reportTo === undefined ? {} : { 'gateway.reportTo': reportTo }),
    ...(tls === undefined ? {} : { 'gateway.tls': true }),
    ...(seesBodies === undefined ? {} : { 'gateway.seesBodies': true }),
  }
}

const jsonLines: Observer = {
  async record(event) {
    output.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`)
  },
}

const plainLines: Observer = {
  async record({ type, agent, action, resource, decision, reasons = [], checks = [], correlationId }) {
    const who = agent?.id ?? '-'
    const line = [type, decision, who, action, resource.id, reasons.join(','), correlationId].join(' ')
    const why = decision === 'deny' ? failureLines({ reasons, checks }) : []
    output.write(`${[line, ...why].join('\n')}\n`)
  },
}
