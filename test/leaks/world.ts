// A broker with everything that can leak, a hostile service behind it, and a scanner that knows all of it.
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AttestationResult } from 'aims/attestation'
import { bundleSource, holdJwtSvid } from 'aims/credentials'
import { parseWorkloadSpiffeId } from 'aims/identifiers'
import { HeldSecret } from 'aims-agent'
import { holdIdentity } from '../../packages/agent/src/egress/held-identity.ts'
import { AGENT, API_KEY, startTestBroker, type TestBroker } from '../support/broker.ts'
import { type TlsHost, tlsHost } from '../support/tls-host.ts'
import { credentialsOfKey } from './credentials.ts'
import type { InProcessWorld } from './in-process.ts'
import { Scanner, tokenCredentials } from './scanner.ts'
import { TRICKS } from './tricks.ts'

export const SERVICE = 'weather.example.com'
/** Rules, and so ways in which a credential is attached. */
export const NAMES: readonly string[] = ['header', 'bearer', 'query', 'basic', 'wit', 'signed', 'token', 'open']
/** What no rule is for: the model's own choice. */
export const ELSEWHERE: readonly string[] = [
  '/https/evil.example.com/steal',
  'http://evil.example.com/steal',
  'https://evil.example.com:8443/steal',
  '/https/169.254.169.254/latest/meta-data/iam/security-credentials/',
  'http://weather.example.com.evil.example.com/',
  '/https/weather.example.com@evil.example.com/',
  '/header/admin/keys',
  '/header/../token/',
  '/nothing/here',
]

export interface LeakWorld extends AsyncDisposable {
  readonly broker: TestBroker
  readonly host: TlsHost
  readonly scanner: Scanner
  readonly inProcess: InProcessWorld
  /** Requests that came where no rule leads. */
  readonly astray: readonly string[]
  /** Requests that the service got with a credential. */
  served: number
}

export async function makeWorld(): Promise<LeakWorld> {
  const astray: string[] = []
  const host = await tlsHost([SERVICE, 'evil.example.com'], (request, response) => {
    if (request.headers.host !== SERVICE) astray.push(String(request.headers.host))
    answer(request, response, world)
  })
  const to = { to: `https://${SERVICE}`, methods: ['GET', 'POST'], paths: ['/t/*'], agents: [AGENT] }
  const broker = await startTestBroker({
    host,
    port: 0,
    makeRules: (authorities) => {
      const rule = (credential: { readonly [member: string]: string }) => ({ ...to, authorities, credential })
      const audience = 'https://api.example.com'
      const secret = (place: { readonly [member: string]: string }) =>
        rule({ kind: 'secret', secret: 'weather-key', ...place })
      return {
        header: secret({ header: 'x-api-key' }),
        bearer: secret({ header: 'authorization', prefix: 'Bearer ' }),
        query: secret({ query: 'key' }),
        basic: secret({ basic: 'bot' }),
        wit: rule({ kind: 'wit', audience }),
        signed: rule({ kind: 'http-signature', audience }),
        token: rule({ kind: 'jwt-svid', audience }),
        open: rule({ kind: 'none' }),
      }
    },
  })
  const { backend } = broker
  const program = `unix:path:${process.execPath}`
  backend.set([{ spiffeId: AGENT, selector: program }])
  const attestation: AttestationResult = {
    type: 'unix',
    selectors: [program],
    verifiedAt: 0,
    binding: 'channel',
    freshness: 'live',
    debug: false,
    warnings: [],
    attributes: {},
  }
  const [identity] = (await backend.snapshot(attestation)).identities
  if (identity === undefined) throw new Error('no identity')
  const held = holdIdentity(identity)
  const [made] = await backend.jwtSvids(attestation, ['https://api.example.com'])
  const jwt = holdJwtSvid({
    spiffeId: parseWorkloadSpiffeId(AGENT),
    audiences: ['https://api.example.com'],
    expiresAt: 4_000_000_000,
    hint: '',
    token: made?.token ?? '',
  })
  const scanner = new Scanner([
    { name: 'secret of the service', bytes: Buffer.from(API_KEY) },
    { name: 'secret in a URL', bytes: Buffer.from(encodeURIComponent(API_KEY)) },
    { name: 'secret as a password', bytes: Buffer.from(Buffer.from(`bot:${API_KEY}`).toString('base64')) },
    { name: 'key of the secrets', bytes: readFileSync(broker.files.keyFile) },
    ...tokenCredentials('WIT', held.wit().token),
    ...tokenCredentials('JWT-SVID', jwt.token),
    ...credentialsOfKey('key of the WIT', held.wit().key),
    ...credentialsOfKey('key of the X.509-SVID', held.x509Svid().key),
  ])
  const world: LeakWorld = {
    broker,
    host,
    scanner,
    astray,
    served: 0,
    inProcess: {
      identity: held,
      jwt,
      secret: new HeldSecret(API_KEY),
      bundles: bundleSource(backend.bundle),
      watch: (name, token) => scanner.watch(tokenOrKey(name, token)),
    },
    [Symbol.asyncDispose]: async () => {
      await broker[Symbol.asyncDispose]()
      await host[Symbol.asyncDispose]()
    },
  }
  return world
}

function tokenOrKey(name: string, text: string): ReturnType<typeof tokenCredentials> {
  const token = text.replace(/^\w+ +/, '')
  if (token.split('.').length === 3) return tokenCredentials(name, token)
  return [{ name, bytes: Buffer.from(token.replace(/^[\w-]+=:|:$/g, ''), 'latin1') }]
}

/** The service has seen a credential, and does with it what the path says. */
function answer(request: IncomingMessage, response: ServerResponse, world: LeakWorld): void {
  const {
    authorization = '',
    signature = '',
    'workload-identity-token': wit = '',
    'x-api-key': key = '',
  } = request.headers
  if (/^(?:WPT|Bearer) ey/.test(authorization)) world.scanner.watch(tokenOrKey('proof or token', authorization))
  if (signature !== '') world.scanner.watch(tokenOrKey('signature', String(signature)))
  const query = request.url?.split('?')[1] ?? ''
  const seen = [key, authorization, String(signature), String(wit), query.includes('key=') ? query : ''].filter(
    (one) => one !== '',
  )
  if (seen.length > 0) world.served += 1
  request.resume()
  request.once('end', () => {
    const trick = TRICKS[decodeURIComponent(/^\/t\/([^?]+)/.exec(request.url ?? '')?.[1] ?? '')]
    if (trick === undefined) response.writeHead(404).end(seen.join('\n'))
    else trick(response, seen.join(' '))
  })
}
