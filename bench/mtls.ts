// Goal P15: checking the peer by its SPIFFE ID adds at most 5 % to what a bare Node server spends on an mTLS handshake.
// The servers are processes of their own, so that only their processor time counts, and are compared when they are warm:
// what checks a certificate runs once per handshake, and is compiled after some thousand of them.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'
import { createAuthenticator, createMemoryReplayStore, rotatingServer, serverTlsOptions } from 'aims/authentication'
import { noObserver, WorkloadKey } from 'aims/base'
import {
  bundleSource,
  createX509Authority,
  emptyBundle,
  holdX509Svid,
  issueCaCertificate,
  issueX509Svid,
  type X509Svid,
} from 'aims/credentials'
import { isMemberOf, parseSpiffeId, parseTrustDomain } from 'aims/identifiers'
import { protect } from 'aims/node'
import { report } from './harness.ts'
import { type CpuCase, cpuRounds } from './support/cpu.ts'

const KINDS = ['bare node:https, one root', 'aims, peer checked', 'aims, peer checked, request authenticated'] as const
const trustDomain = parseTrustDomain('example.com')
const pem = (der: Uint8Array): string =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(der).toString('base64')}\n-----END CERTIFICATE-----\n`
const pemKey = (svid: X509Svid): string => svid.key.tlsKey.export({ type: 'pkcs8', format: 'pem' }).toString()

const kind = process.argv[2]
if (kind === undefined) await drive()
else await serve(KINDS[Number(kind)] ?? KINDS[0])

async function drive(): Promise<void> {
  const running = await Promise.all(KINDS.map((_, index) => start(index)))
  const cases = running.map(({ port, client, cpu }, index): CpuCase => {
    const options: ConnectionOptions = { port, host: 'localhost', ...client, rejectUnauthorized: false }
    return {
      name: KINDS[index] ?? '',
      async use(times) {
        const before = await cpu()
        for (let i = 0; i < times; i += 1) await exchange(options)
        return (await cpu()) - before
      },
    }
  })
  report(
    'mTLS handshake and one request, processor time of the server',
    await cpuRounds(cases, { rounds: 9, times: 150, warmUp: 2500 }),
    [{ id: 'P15', case: KINDS[1], atMost: 1.05 }],
  )
  for (const { stop } of running) stop()
}

async function exchange(options: ConnectionOptions): Promise<void> {
  const socket = connect(options)
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  const [answer] = await once(socket, 'data')
  if (!String(answer).startsWith('HTTP/1.1 200')) throw new Error('refused')
  socket.destroy()
}

interface Running {
  readonly port: number
  readonly client: { readonly cert: string; readonly key: string }
  /** Processor time of the server so far, microseconds. */
  cpu(): Promise<number>
  stop(): void
}

async function start(index: number): Promise<Running> {
  const child = fork(process.argv[1] ?? '', [String(index)])
  const [{ port, client }] = await once(child, 'message')
  return {
    port,
    client,
    async cpu() {
      child.send('cpu')
      return (await once(child, 'message'))[0]
    },
    stop: () => child.kill(),
  }
}

async function serve(which: (typeof KINDS)[number]): Promise<void> {
  const now = Math.floor(Date.now() / 1000)
  const signer = WorkloadKey.generate()
  const times = { notBefore: now - 60, notAfter: now + 3600 }
  const certificate = await issueCaCertificate({ trustDomain, signer, ...times })
  const authority = createX509Authority({ trustDomain, signer, certificate })
  const svidOf = async (path: string): Promise<X509Svid> => {
    const key = WorkloadKey.generate()
    const spiffeId = parseSpiffeId(`spiffe://example.com${path}`)
    const { certificates } = await issueX509Svid({ spiffeId, publicKey: key.publicKey, ...times }, authority)
    return holdX509Svid({ certificates, key })
  }
  const [service, client] = [await svidOf('/service'), await svidOf('/agent')]
  const source = { x509Svid: () => service }
  const bundles = bundleSource({ ...emptyBundle(trustDomain), x509Authorities: [certificate] })
  let server: Server
  if (which === KINDS[0]) {
    const tls = { cert: service.certificates.map(pem).join(''), key: pemKey(service), ca: [pem(certificate)] }
    server = createServer({ ...tls, requestCert: true, rejectUnauthorized: true }, (_, response) => response.end('ok'))
  } else {
    const replays = createMemoryReplayStore({ capacity: 1 })
    const authenticator = createAuthenticator({ bundles, audiences: ['x'], replays, observer: noObserver })
    server =
      which === KINDS[1]
        ? createServer(serverTlsOptions(source), (_, response) => response.end('ok'))
        : createServer(
            serverTlsOptions(source),
            protect(authenticator, (_, response) => response.end('ok')),
          )
    rotatingServer(server, source, { bundles, peer: isMemberOf(trustDomain), observer: noObserver })
  }
  server.listen(0)
  await once(server, 'listening')
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send?.(user + system)
  })
  const { port } = server.address() as AddressInfo
  process.send?.({ port, client: { cert: client.certificates.map(pem).join(''), key: pemKey(client) } })
}
