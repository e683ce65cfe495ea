// A broker on a socket of its own, in front of a trust domain in memory and hosts on this machine.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Attestor, type PeerCredentials, unixAttestor } from 'aims/attestation'
import { type AuditEvent, type JsonObject, systemClock } from 'aims/base'
import {
  type BrokerOptions,
  openSecrets,
  parseBrokerRules,
  putSecret,
  type RunningBroker,
  type SecretFiles,
  startEgress,
} from 'aims-agent'
import { IssuingBackend } from './issuing-backend.ts'
import { PUBLIC_ADDRESS, type TlsHost, webAuthority } from './tls-host.ts'

export const AGENT = 'spiffe://example.com/agent/calendar-bot'
/** The secret of an older service that this broker holds, as `weather-key`. */
export const API_KEY = 'wk_live+7Hq2/9fXb4Tz0LmN8sVd'

// One for all: it hashes the Node executable once.
const attestor = unixAttestor()

export interface TestBroker extends AsyncDisposable {
  readonly directory: string
  readonly files: SecretFiles
  readonly backend: IssuingBackend
  readonly broker: RunningBroker
  readonly records: AuditEvent[]
  /** Makes all further records fail, or not any more. */
  failAudit(failure: Error | undefined): void
  /** Over the Unix socket. */
  ask(target: string, options?: AskOptions): Promise<Answer>
}

export interface AskOptions {
  readonly method?: string
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string | Buffer
  /** Over the port in place of the socket. */
  readonly port?: number | undefined
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Of a problem document. */
  readonly code: string | undefined
}

export interface TestBrokerOptions
  extends Partial<Pick<BrokerOptions, 'port' | 'rules' | 'network' | 'backend' | 'peerCredentials'>> {
  readonly attestor?: Attestor<PeerCredentials>
  /** All names and ports lead to it, or by the port in the rule to others. */
  readonly host?: Pick<TlsHost, 'port'>
  readonly ports?: { readonly [port: number]: number }
  /** Made with the path of the authority of the hosts. */
  readonly makeRules?: (authorities: string) => JsonObject
}

/** Starts it, with `weather-key` put. */
export async function startTestBroker(options: TestBrokerOptions): Promise<TestBroker> {
  const directory = mkdtempSync(join(tmpdir(), 'aims-broker-'))
  const authorities = join(directory, 'web.pem')
  writeFileSync(authorities, webAuthority)
  const files = { file: join(directory, 'secrets.json'), keyFile: join(directory, 'secrets.key') }
  putSecret(files, 'weather-key', API_KEY, 1_700_000_000)
  const backend = await IssuingBackend.create()
  backend.set([{ spiffeId: AGENT, selector: `unix:uid:${process.geteuid?.()}` }])
  const records: AuditEvent[] = []
  let failure: Error | undefined
  const { host, ports = {}, makeRules } = options
  const broker = await startEgress({
    socketPath: join(directory, 'broker.sock'),
    socketMode: 0o600,
    port: options.port,
    rules: options.rules ?? parseBrokerRules(makeRules?.(authorities) ?? {}),
    secrets: openSecrets(files),
    backend: options.backend ?? backend,
    attestor: options.attestor ?? attestor,
    observer: {
      async record(event) {
        if (failure !== undefined) throw failure
        records.push(event)
      },
    },
    clock: systemClock,
    ...(options.peerCredentials === undefined ? {} : { peerCredentials: options.peerCredentials }),
    network: options.network ?? {
      resolve: async () => [PUBLIC_ADDRESS],
      connect: (_, port) => connect({ host: '127.0.0.1', port: ports[port] ?? host?.port ?? 1 }),
    },
  })
  return {
    directory,
    files,
    backend,
    broker,
    records,
    failAudit: (next) => {
      failure = next
    },
    ask: (target, asked = {}) => ask(broker.socketPath, target, asked),
    [Symbol.asyncDispose]: async () => {
      await broker.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function ask(
  socketPath: string,
  target: string,
  { method = 'GET', headers = {}, body, port }: AskOptions,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const where = port === undefined ? { socketPath } : { host: '127.0.0.1', port }
    const sent = request({ ...where, path: target, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('latin1')
        const isProblem = response.headers['content-type'] === 'application/problem+json'
        const code = isProblem ? String(JSON.parse(text).code) : undefined
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text, code })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
