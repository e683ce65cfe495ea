import { randomUUID } from 'node:crypto'
import type { CallCredentials, Metadata, ServerInterceptor, status } from '@grpc/grpc-js'
import type { Authenticator } from '../authentication/authenticate.ts'
import type { IncomingRequest } from '../authentication/request.ts'
import type { RouteRequirements } from '../authentication/route.ts'
import { AimsError } from '../base/errors.ts'
import type { WitSource } from '../credentials/wit/source.ts'
import { rememberCaller } from './admit.ts'
import { type ProvingOptions, provingFields } from './outgoing.ts'

export { type Caller, callerOf } from './admit.ts'
export type { ProvingOptions } from './outgoing.ts'

/** What is needed of `@grpc/grpc-js`; passed in, so that there is one copy of it. */
export type Grpc = Pick<
  typeof import('@grpc/grpc-js'),
  'ServerInterceptingCall' | 'Metadata' | 'credentials' | 'status'
>

/**
 * An interceptor for a gRPC server that authenticates every call: `callerOf(call.metadata)` says who calls. Calls that are
 * refused end with a status, and no handler sees them.
 *
 * A call is a stream of messages: proofs that name a body are refused. There is no mTLS here. grpc-js has dropped all
 * `authorization` but the first before anybody sees them.
 */
export function authenticatedCalls(
  grpc: Grpc,
  authenticator: Authenticator,
  options: RouteRequirements = {},
): ServerInterceptor {
  return ({ path }, call) =>
    new grpc.ServerInterceptingCall(call, {
      start(next) {
        next({
          async onReceiveMetadata(metadata, pass) {
            const correlationId = randomUUID()
            try {
              const principal = await authenticator.authenticate(incoming(path, metadata, correlationId), options)
              rememberCaller(metadata, { principal, correlationId })
            } catch (error) {
              const { status, body } = authenticator.problem(error, correlationId, options)
              return call.sendStatus({ code: codeOf(grpc.status, status), details: body })
            }
            pass(metadata)
          },
        })
      },
    })
}

/**
 * Credentials for the calls of a client that prove who calls: combine them with those of the channel,
 * `credentials.combineChannelCredentials(credentials.createSsl(), provingCalls(grpc, wits, { audience }))`. grpc-js sends them over TLS only.
 */
export function provingCalls(grpc: Grpc, wits: WitSource, options: ProvingOptions): CallCredentials {
  const fieldsFor = provingFields(wits, options)
  return grpc.credentials.createFromMetadataGenerator(({ service_url, method_name }, done) => {
    try {
      // The whole path, as it goes over the wire.
      const url = new URL(method_name, service_url)
      const metadata = new grpc.Metadata()
      const fields = fieldsFor({ method: 'POST', url, body: undefined, authorization: undefined })
      for (const [name, value] of Object.entries(fields)) metadata.set(name, value)
      done(null, metadata)
    } catch (error) {
      done(error instanceof Error ? error : new Error('no proof could be made', { cause: error }))
    }
  })
}

function incoming(path: string, metadata: Metadata, id: string): IncomingRequest {
  const headers = Object.keys(metadata.getMap()).flatMap((name) =>
    metadata.get(name).map((value): readonly [string, string] => [name, String(value)]),
  )
  const body = (): Promise<never> =>
    Promise.reject(new AimsError('proof.body_mismatch', 'the messages of a call are not compared with a digest'))
  return { id, method: 'POST', target: path, headers, body, answersUnsigned: true }
}

function codeOf(codes: typeof status, http: number): status {
  if (http === 503) return codes.UNAVAILABLE
  if (http === 501) return codes.UNIMPLEMENTED
  if (http === 403) return codes.PERMISSION_DENIED
  return http === 500 ? codes.INTERNAL : codes.UNAUTHENTICATED
}
