import type { CallCredentials, Interceptor, Metadata, ServerInterceptor, status } from '@grpc/grpc-js'
import type { Authenticator } from '../authentication/authenticate.ts'
import type { RawHeaders } from '../authentication/carriage.ts'
import type { IncomingRequest } from '../authentication/request.ts'
import type { RouteRequirements } from '../authentication/route.ts'
import type { Watch } from '../authentication/watch.ts'
import { createCorrelationId } from '../base/correlation-id.ts'
import { AimsError, type AimsErrorCode } from '../base/errors.ts'
import type { WitSource } from '../credentials/wit/source.ts'
import { rememberCaller } from './admit.ts'
import { type ProofTokenOptions, tokenProver } from './outgoing.ts'

export { type Caller, callerOf } from './admit.ts'

/** What is needed of `@grpc/grpc-js`; passed in, so that there is one copy of it. */
export type Grpc = Pick<
  typeof import('@grpc/grpc-js'),
  'InterceptingCall' | 'ServerInterceptingCall' | 'Metadata' | 'credentials' | 'status'
>

/**
 * An interceptor for a gRPC server that authenticates every call: `callerOf(call.metadata)` says who calls. Calls that are
 * refused end with a status, and no handler sees them.
 *
 * A call ends with `UNAUTHENTICATED` and `authentication.ended` when the credential of its caller expires or was revoked.
 *
 * A call is a stream of messages: proofs that name a body are refused. There is no mTLS here. grpc-js has dropped all
 * `authorization` but the first before anybody sees them.
 */
export function authenticatedCalls(
  grpc: Grpc,
  authenticator: Authenticator,
  options: RouteRequirements = {},
): ServerInterceptor {
  return ({ path }, call) => {
    let watch: Watch | undefined
    let isOver = false
    return new grpc.ServerInterceptingCall(call, {
      start(next) {
        next({
          async onReceiveMetadata(metadata, pass) {
            const correlationId = createCorrelationId()
            try {
              const principal = await authenticator.authenticate(incoming(path, metadata, correlationId), options)
              const caller = rememberCaller(metadata, { principal, correlationId })
              // It has gone away meanwhile.
              if (isOver) return
              watch = authenticator.watch(caller, () => {
                isOver = true
                call.sendStatus({ code: grpc.status.UNAUTHENTICATED, details: ENDED })
              })
            } catch (error) {
              const { status, body } = authenticator.problem(error, correlationId, options)
              return call.sendStatus({ code: codeOf(grpc.status, status), details: body })
            }
            pass(metadata)
          },
          // A client that does not take its status may still send.
          onReceiveMessage(message, pass) {
            if (!isOver) pass(message)
          },
          // Of every call: also when it has got its status.
          onCancel() {
            isOver = true
            watch?.stop()
          },
        })
      },
    })
  }
}

const ENDED: AimsErrorCode = 'authentication.ended'

/** Whom calls prove themselves to, and how. Answers of gRPC come over HTTP/2, where they cannot be signed. */
export type ProvingCallOptions = ProofTokenOptions

/**
 * Credentials for the calls of a client that prove who calls, each attempt anew: combine them with those of the channel,
 * `credentials.combineChannelCredentials(credentials.createSsl(), provingCalls(grpc, wits, { audience }))`. grpc-js combines them
 * with TLS only; as an option of a single call it would send them without, too. They see no metadata: `contextTokens` and
 * `txn-token` are for {@link provingInterceptor}.
 */
export function provingCalls(grpc: Grpc, wits: WitSource, options: ProvingCallOptions): CallCredentials {
  return callCredentials(grpc, callProver(wits, options), () => [])
}

/** Whom the calls of an interceptor prove themselves to, and over what. */
export interface ProvingInterceptorOptions extends ProvingCallOptions {
  /** The channel has TLS, which an interceptor cannot see. Default: calls to other machines are refused. */
  readonly assumeTls?: true
}

/**
 * An interceptor for a client that proves who calls, unary and streams, each attempt anew: `new Client(address, credentials,
 * { interceptors: [provingInterceptor(grpc, wits, { audience })] })`. Binds `txn-token` and `contextTokens` of the metadata. Put it
 * behind others that add some.
 *
 * @throws TypeError, at the call, for a channel to another machine that is not said to have TLS
 */
export function provingInterceptor(grpc: Grpc, wits: WitSource, options: ProvingInterceptorOptions): Interceptor {
  const prove = callProver(wits, options)
  const isAllowed = options.assumeTls === true || options.acceptPlaintext === true
  return (call, next) => {
    let sent: RawHeaders = []
    const proving = callCredentials(grpc, prove, () => sent)
    const inner = next({ ...call, credentials: call.credentials?.compose(proving) ?? proving })
    if (!isAllowed && !THIS_MACHINE.test(inner.getPeer())) {
      throw new TypeError('proofs are sent over TLS: combine provingCalls with the channel, or say { assumeTls: true }')
    }
    return new grpc.InterceptingCall(inner, {
      start(metadata, listener, go) {
        sent = metadataPairs(metadata)
        go(metadata, listener)
      },
    })
  }
}

// What a channel that is not connected yet has as its peer: its target.
const THIS_MACHINE =
  /^(?:unix(?:-abstract)?:.*|(?:(?:dns|ipv4|ipv6):\/{0,3})?(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?)$/

function callProver(wits: WitSource, options: ProvingCallOptions): ReturnType<typeof tokenProver> {
  if ('httpSignature' in options)
    throw new TypeError('what comes back over HTTP/2 cannot be signed: calls have proof tokens')
  return tokenProver(wits, options)
}

function callCredentials(grpc: Grpc, prove: ReturnType<typeof tokenProver>, sent: () => RawHeaders): CallCredentials {
  return grpc.credentials.createFromMetadataGenerator(({ service_url, method_name }, done) => {
    try {
      // The whole path, as it goes over the wire.
      const url = new URL(method_name, service_url)
      const metadata = new grpc.Metadata()
      const fields = prove({ method: 'POST', url, body: undefined, headers: sent() })
      for (const [name, value] of Object.entries(fields)) metadata.set(name, value)
      done(null, metadata)
    } catch (error) {
      done(error instanceof Error ? error : new Error('no proof could be made', { cause: error }))
    }
  })
}

function incoming(path: string, metadata: Metadata, id: string): IncomingRequest {
  const headers = metadataPairs(metadata)
  const body = (): Promise<never> =>
    Promise.reject(new AimsError('proof.body_mismatch', 'the messages of a call are not compared with a digest'))
  return { id, method: 'POST', target: path, headers, body, answersUnsigned: true }
}

function metadataPairs(metadata: Metadata): RawHeaders {
  return Object.keys(metadata.getMap()).flatMap((name) =>
    metadata.get(name).map((value): readonly [string, string] => [name, String(value)]),
  )
}

function codeOf(codes: typeof status, http: number): status {
  if (http === 503) return codes.UNAVAILABLE
  if (http === 501) return codes.UNIMPLEMENTED
  if (http === 403) return codes.PERMISSION_DENIED
  return http === 500 ? codes.INTERNAL : codes.UNAUTHENTICATED
}
