import { systemClock } from '../base/clock.ts'
import { createCorrelationId } from '../base/correlation-id.ts'
import { AimsError } from '../base/errors.ts'
import { DEFAULT_CLOCK_SKEW, requireTimeOptions } from '../credentials/lifetime.ts'
import { refusalOf } from './audit.ts'
import { bearerJudge } from './by-bearer.ts'
import { certificateJudge } from './by-certificate.ts'
import { proofJudge } from './by-proof.ts'
import { signatureJudge } from './by-signature.ts'
import { type Carried, readCarriage } from './carriage.ts'
import type { ResponseSigner } from './http-signature/responses.ts'
import { demandsResponse } from './http-signature/verify-request.ts'
import type { AuthenticationMethod, Principal } from './principal.ts'
import { type ProblemResponse, problemFor } from './problem.ts'
import { trailOf } from './refusal/trail.ts'
import type { AuthenticatorOptions, IncomingRequest, Judge } from './request.ts'
import { bindingOf, methodsOf, type RouteRequirements, requirePeer } from './route.ts'
import { sharedState } from './shared-state.ts'
import { createWatcher, type Watch, type WatchedCaller } from './watch.ts'
import { DEFAULT_MAX_LIFETIME } from './wpt/verify.ts'

/** Tells who calls. */
export interface Authenticator {
  readonly methods: readonly AuthenticationMethod[]
  /**
   * Verifies the identity behind a request. Says nothing about permission: that is `authorize`.
   *
   * A refusal is recorded with the observer before it is thrown. Header fields that claim an identity, such as
   * `X-Forwarded-*`, are never looked at, except where a configured proxy has proved itself on this connection.
   *
   * @param route - What this route asks for beyond what the service does. Default: nothing.
   * @throws {@link AimsError} `authentication.*`, `proof.*`, `signature.*`, `credential.*`, `x509.*`
   * @throws TypeError for a route that accepts a method the service does not
   */
  authenticate(request: IncomingRequest, route?: RouteRequirements): Promise<Principal>
  /**
   * With what the response to the request of this very principal must be signed, because its caller demands it or the
   * service always does. `undefined`: it goes out as it is. The adapters ask.
   */
  responseSigner(principal: Principal): ResponseSigner | undefined
  /**
   * For what goes on beyond its request, a WebSocket or a stream: calls `onEnd`, once, when a new request with the same
   * credential would be refused, because it was revoked or has expired, its authority has gone, or no current list says
   * anything. That is noticed within a second, and recorded (`authentication.ended`). The adapters do this themselves.
   *
   * Stop it when what is open was closed.
   */
  watch(caller: WatchedCaller, onEnd: (reason: AimsError) => void): Watch
  /** What to answer when `authenticate` has thrown `error` for the request with this id, under the same route. */
  problem(error: unknown, id: string, route?: RouteRequirements): ProblemResponse
}

/**
 * Makes the verifier of a service's requests.
 *
 * @throws TypeError when a rule it needs is missing: a service without an audience does not start.
 * @see wimse-spiffe digest section 9.1; draft-ietf-wimse-wpt-02; draft-ietf-wimse-http-signature-07
 */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { observer, clock = systemClock, methods = ['http-signature', 'wit+wpt', 'mtls'] } = options
  if (options.audiences.length === 0 || options.audiences.includes('')) {
    throw new TypeError('an authenticator needs its own audiences')
  }
  requireTimeOptions(0, options.clockSkew ?? DEFAULT_CLOCK_SKEW, options.maxLifetime ?? DEFAULT_MAX_LIFETIME)
  if (methods.includes('forwarded') && (options.proxies ?? []).length === 0) {
    throw new TypeError('forwarded needs proxies: whose word counts, and for whom')
  }
  const shared = sharedState(options)
  const signers = new WeakMap<Principal, ResponseSigner>()
  const byCertificate = certificateJudge(options)
  const byMethod: { readonly [method in AuthenticationMethod]: Judge } = {
    'http-signature': signatureJudge(options, shared, clock, signers),
    'wit+wpt': proofJudge(options, shared, clock),
    mtls: byCertificate,
    forwarded: byCertificate,
    'jwt-svid': bearerJudge(options),
  }

  return {
    methods,
    responseSigner: (principal) => signers.get(principal),
    watch: createWatcher({ clock, observer }),
    problem: (error, id, route = {}) => problemFor(error, id, route.accept ?? methods),
    async authenticate(request, route = {}) {
      const id = request.id ?? createCorrelationId()
      const now = clock()
      try {
        const accepted = methodsOf(methods, route)
        const carried = readCarriage(request.headers)
        const method = chooseMethod(carried, request, accepted)
        const binding = bindingOf(options.requireBinding, route)
        const judged = byMethod[method]({ request, carried, accepted, binding, now, id })
        const principal = judged instanceof Promise ? await judged : judged
        requirePeer(principal.id, options.peer, route.peer)
        return principal
      } catch (error) {
        if (AimsError.is(error)) {
          const accepted = methodsOf(methods, route)
          const binding = bindingOf(options.requireBinding, route)
          const checks = trailOf({ request, options, accepted, binding, now, error })
          await observer.record(refusalOf(request, error, id, checks))
        }
        throw error
      }
    },
  }
}

// The strongest the request offers and the service accepts. A failure of it is final: nothing else is tried.
function chooseMethod(
  carried: Carried,
  request: IncomingRequest,
  methods: readonly AuthenticationMethod[],
): AuthenticationMethod {
  const offered: AuthenticationMethod[] = []
  if (carried.kind === 'signature') offered.push('http-signature')
  if (carried.kind === 'proof') offered.push('wit+wpt')
  // Which of the two it is, the certificate tells.
  if (request.peerCertificates !== undefined && request.peerCertificates.length > 0) offered.push('mtls', 'forwarded')
  if (carried.kind === 'bearer') offered.push('jwt-svid')
  const method = offered.find((one) => methods.includes(one))
  if (carried.kind === 'signature' && method !== 'http-signature' && demandsResponse(carried.signature)) {
    throw new AimsError(
      'signature.cannot_sign',
      'the caller demands a signed response, and signatures are not accepted',
    )
  }
  if (method !== undefined) return method
  if (methods.every((one) => one === 'mtls' || one === 'forwarded')) {
    throw new AimsError('authentication.no_client_certificate', 'the client presented no certificate')
  }
  if (offered.some((one) => one !== 'jwt-svid')) {
    throw new AimsError('authentication.method_not_allowed', 'this service does not accept that method')
  }
  throw new AimsError('authentication.missing', 'the request carries no proof of identity')
}
