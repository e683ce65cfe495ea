// The demo's agents, calendar-bot and legacy-bot: fetch their credentials from the Workload API and call the service.
// A process of its own; see workload-process.ts. It cheats only where it is told to: `tamper`.
import { type RequestOptions, request as requestHttps } from 'node:https'
import { clientTlsOptions, proofHeaders } from 'aims/authentication'
import { isJsonObject, parseJson } from 'aims/base'
import { decodeUnverifiedJwtSvid, decodeUnverifiedWit } from 'aims/credentials'
import { isExactly, parseSpiffeId } from 'aims/identifiers'
import { connectWorkload, type Workload } from 'aims/provisioning'
import { type Answer, answerRequests } from './workload-process.ts'

const { DEMO_SERVICE_ID = '', DEMO_AUDIENCE = '' } = process.env
const TARGET = '/api/v1/events'
const BODY = Buffer.from('{"title":"stand-up","at":"09:30"}')

type Headers = { readonly [name: string]: string }

/** What a request of the driver says. */
interface Task {
  readonly do?: unknown
  readonly port?: unknown
  readonly method?: unknown
  readonly target?: unknown
  readonly via?: unknown
  readonly tamper?: unknown
}

let me: Workload | undefined
let lastHeaders: Headers = {}

answerRequests(async (task: Task) => (task.do === 'attest' ? attest() : call(task)))

async function attest(): Promise<Answer> {
  me = await connectWorkload()
  const svid = me.x509.x509Svid()
  const wit = me.wit.wit()
  const jwt = await me.jwt.jwtSvid(DEMO_AUDIENCE)
  return {
    observed: [svid.spiffeId, wit.subject, jwt.spiffeId].every((id) => id === me?.spiffeId)
      ? `${me.spiffeId} has X.509-SVID, WIT and JWT-SVID`
      : 'the credentials name different subjects',
    facts: {
      'X.509-SVID': { subject: svid.spiffeId, expires: toTime(svid.expiresAt), certificates: svid.certificates.length },
      WIT: decodeUnverifiedWit(wit.token).claims,
      'JWT-SVID': decodeUnverifiedJwtSvid(jwt.token).claims,
    },
  }
}

async function call(task: Task): Promise<Answer> {
  if (me === undefined) return { observed: 'not attested' }
  const method = String(task.method ?? 'POST')
  const target = String(task.target ?? TARGET)
  const tamper = task.tamper
  if (tamper !== 'replay') {
    const proof = proofHeaders(
      me.wit.wit(),
      { method, target, audience: DEMO_AUDIENCE, body: BODY },
      { now: Date.now() / 1000 },
    )
    lastHeaders = tamper === 'no-proof' ? withoutProof(proof) : { ...proof }
  }
  const headers = task.via === 'mtls' ? {} : lastHeaders
  const body = tamper === 'body' ? Buffer.from('{"title":"payday","at":"09:30"}') : BODY
  const connection = { port: Number(task.port), mtls: task.via === 'mtls' }
  return send(me, tamper === 'method' ? 'PUT' : method, target, headers, body, connection)
}

// What a thief of the WIT has: the token, and no key to prove it with. In aims-00 the WIT is in Authorization.
function withoutProof(headers: Headers): Headers {
  const isWit = (value: string): boolean => !value.toLowerCase().startsWith('wpt ')
  const entries = Object.entries(headers).filter(([name, value]) =>
    me?.wit.wit().profile === 'aims-00' ? name.toLowerCase() === 'authorization' : isWit(value),
  )
  return Object.fromEntries(entries)
}

function send(
  workload: Workload,
  method: string,
  path: string,
  proof: Headers,
  body: Buffer,
  { port, mtls }: { readonly port: number; readonly mtls: boolean },
): Promise<Answer> {
  const peer = isExactly(parseSpiffeId(DEMO_SERVICE_ID))
  const { cert, key, ...tls } = clientTlsOptions(workload.x509, { bundles: workload.bundles, peer })
  const options: RequestOptions = {
    ...{ host: '127.0.0.1', port, method, path, agent: false },
    headers: { ...proof, 'content-type': 'application/json', 'content-length': body.length },
    ...(tls as RequestOptions),
    ...(mtls ? { cert, key } : {}),
  } as RequestOptions
  return new Promise((resolve, reject) => {
    const request = requestHttps(options, (response) => {
      response.setEncoding('utf8')
      let text = ''
      response.on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => {
        const answer = parseJson(text)
        resolve({
          observed: String(response.statusCode),
          facts: { challenge: response.headers['www-authenticate'], ...(isJsonObject(answer) ? answer : {}) },
        })
      })
    })
    request.on('error', reject)
    request.end(body)
  })
}

function toTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString()
}
