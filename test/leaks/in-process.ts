// The same hostile model in a process that has the objects of the SDK: everything it can print, and the fetch it is given.
import { inspect } from 'node:util'
import { createAuthenticator, createMemoryReplayStore } from 'aims/authentication'
import { AimsError, type AuditEvent } from 'aims/base'
import type { JwtSvid } from 'aims/credentials'
import { type BundleSource, verifyJwtSvid, verifyWit } from 'aims/credentials'
import { hidingFetch, provingFetch } from 'aims/fetch'
import { credentialParameters, requireNoCredentials } from 'aims/mcp'
import type { HeldSecret } from 'aims-agent'
import type { HeldIdentity } from '../../packages/agent/src/egress/held-identity.ts'
import type { Tool } from './agent-loop.ts'
import { PRINTERS } from './printers.ts'
import { pick } from './random.ts'

export interface InProcessWorld {
  readonly identity: HeldIdentity
  readonly jwt: JwtSvid
  readonly secret: HeldSecret
  readonly bundles: BundleSource
  /** Told of credentials that were made just now. */
  watch(name: string, token: string): void
}

const AUDIENCE = 'https://api.example.com'

export function inProcessTools(world: InProcessWorld): readonly Tool[] {
  const { identity, jwt, secret, bundles } = world
  const objects = [
    identity.wit(),
    identity.wit().key,
    identity.x509Svid(),
    identity.x509Svid().key,
    jwt,
    secret,
    identity,
  ]
  const printing = Object.entries(PRINTERS).map(
    ([name, print]): Tool => ({ name: `print: ${name}`, run: async ({ next }) => print(pick(next, objects)) }),
  )
  return [
    ...printing,
    ...printing,
    refusals(world),
    ...fetching(world),
    log(world),
    toolCalls(),
    ...tampered(jwt.token, bundles),
  ]
}

/** Errors of functions that were given something wrong with a credential in it. */
function tampered(token: string, bundles: BundleSource): readonly Tool[] {
  const verifiers = [
    (text: string) => verifyJwtSvid(text, { bundles, now: 0, audience: AUDIENCE }),
    (text: string) => verifyWit(text, { bundles, now: 0, profile: 'wimse' }),
  ]
  return verifiers.map((verify) => ({
    name: 'trace of a refusal',
    async run({ next }) {
      const text = next() < 0.5 ? token : token.slice(0, Math.floor(next() * token.length))
      try {
        return inspect(await verify(text))
      } catch (error) {
        return inspect(error, { depth: null, showHidden: true })
      }
    },
  }))
}

function refusals({ identity }: InProcessWorld): Tool {
  const wits = { wit: () => identity.wit() }
  return {
    name: 'error of a proving fetch',
    async run({ next }) {
      const fetch = provingFetch(wits, { audience: AUDIENCE, fetch: () => Promise.reject(new Error('ECONNREFUSED')) })
      const url = pick(next, ['http://evil.example.com/', 'https://api.example.com/', 'ftp://x/', 'no url'])
      return fetch(url, { method: pick(next, ['GET', 'POST', 'TRACE']) }).then(String, (error: unknown) =>
        inspect(error, { depth: null, showHidden: true }),
      )
    },
  }
}

// A service in the same process that repeats what it got.
function fetching({ identity, watch }: InProcessWorld): readonly Tool[] {
  const wits = { wit: () => identity.wit() }
  const repeating: typeof globalThis.fetch = async (_input, init) => {
    const sent = [...new Headers(init?.headers)]
    for (const [name, value] of sent)
      if (/^(?:authorization|signature)$/.test(name)) watch(name, value.replace(/^\w+ /, ''))
    const text = JSON.stringify({ sent, base64: Buffer.from(JSON.stringify(sent)).toString('base64') })
    const headers = { 'x-debug': encodeURIComponent(sent.map(([, value]) => value).join(' ')), 'set-cookie': 'a=b' }
    return new Response(text, { headers })
  }
  const fetch = provingFetch(wits, { audience: AUDIENCE, fetch: hidingFetch({ fetch: repeating }) })
  return [
    {
      name: 'proving fetch with a service that repeats',
      async run({ next, remembered }) {
        const response = await fetch(
          `${AUDIENCE}/v1?q=${encodeURIComponent(remembered.slice(0, 50).replace(/[\ud800-\udfff]/g, ''))}`,
          {
            method: next() < 0.5 ? 'POST' : 'GET',
            ...(next() < 0.5 ? {} : { headers: { 'x-note': 'a' } }),
          },
        )
        return `${JSON.stringify([...response.headers])}\n${await response.text()}\n${inspect(response)}`
      },
    },
  ]
}

// Records and errors of a service that was called with a credential in the wrong place.
function log({ identity, jwt, bundles }: InProcessWorld): Tool {
  const events: AuditEvent[] = []
  const authenticator = createAuthenticator({
    bundles,
    audiences: [AUDIENCE],
    replays: createMemoryReplayStore({ capacity: 100 }),
    observer: { record: async (event) => void events.push(event) },
  })
  return {
    name: 'log and trace of a service',
    async run({ next }) {
      events.length = 0
      const headers = pick(next, [
        [['authorization', `Bearer ${jwt.token}`]],
        [
          ['authorization', `WPT ${jwt.token}`],
          ['workload-identity-token', identity.wit().token],
        ],
        [['workload-identity-token', identity.wit().token]],
      ] as const)
      const error = await authenticator
        .authenticate({ method: 'GET', target: `/v1?t=${jwt.token}`, headers })
        .catch((thrown: unknown) => thrown)
      return `${JSON.stringify(events)}\n${inspect(error, { depth: null, showHidden: true })}`
    },
  }
}

/** A tool that wants a credential from the model, and a model that would give one. */
function toolCalls(): Tool {
  const wanted = ['token', 'authorization', 'api_key', 'headers']
  return {
    name: 'tool with a parameter for a credential',
    async run({ next, remembered }) {
      const name = pick(next, wanted)
      const schema = {
        type: 'object',
        properties: { [name]: { type: 'object', properties: { authorization: { type: 'string' } } } },
      }
      if (credentialParameters(schema).length === 0) return 'A CREDENTIAL PARAMETER WAS NOT FOUND'
      try {
        requireNoCredentials({
          jsonrpc: '2.0',
          id: 1,
          method: 'tools/call',
          params: { name: 'x', arguments: { [name]: { authorization: remembered || 'x' } } },
        })
        return 'A CREDENTIAL PARAMETER WAS FILLED'
      } catch (error) {
        return AimsError.is(error) ? `${error.code}: ${error.message}` : inspect(error)
      }
    },
  }
}
