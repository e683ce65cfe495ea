import {
  createMemoryReplayStore,
  type SignatureProfile,
  type VerifiedRequestSignature,
  verifyRequestSignature,
  verifyResponse,
} from 'aims/authentication'
import { AimsError, type HttpRequest, parseHttpResponse } from 'aims/base'
import { parseWorkloadSpiffeId, type WorkloadId } from 'aims/identifiers'
import { UsageError } from '../../exit.ts'
import { readInput } from '../../input.ts'
import type { Result } from '../../output.ts'
import { claimsOf, type Judging, type OwnUris, readBundleSource, readOrigin, toTime } from './options.ts'
import { describeWit, judgeWit, type WitOptions } from './wit.ts'

/** What is judged beside what every request is judged by. */
export interface SignedRequestOptions extends WitOptions {
  readonly contextToken: readonly string[]
  readonly response?: string
  readonly peer?: string
}

/** The profile of the older signatures, which is none of tokens. */
export const OLDER_SIGNATURES: SignatureProfile = 'wimse-http-signature-06'

/** Judges a request that is signed, and with `--response` the signed answer to it. */
export async function judgeSignedRequest(
  request: HttpRequest,
  carried: { readonly wit: string; readonly profile: SignatureProfile },
  accepted: SignatureProfile,
  own: OwnUris,
  options: SignedRequestOptions,
  judging: Judging,
): Promise<Result> {
  if (carried.profile !== accepted) {
    throw new AimsError('authentication.profile_disabled', 'the signature has the shape of another profile')
  }
  const { now, clockSkew } = judging
  const { wit, warnings } = judgeWit(carried.wit, options, judging)
  const { method, target, headers, body } = request
  const signature = await verifyRequestSignature(
    { method, target, headers },
    {
      ...own,
      wit,
      now,
      clockSkew,
      body,
      contextTokens: options.contextToken.map((field) => field.toLowerCase()),
      replays: createMemoryReplayStore({ capacity: 16 }),
    },
  )
  return {
    ok: true,
    ...describeWit(wit),
    method: 'http-signature',
    profile: signature.profile,
    covers: signature.covers,
    signature: {
      nonce: signature.nonce,
      expiresAt: toTime(signature.expiresAt),
      demandsResponse: signature.demandsResponse,
    },
    ...(options.response === undefined
      ? {}
      : { response: judgeResponse(options.response, request, signature, options, judging) }),
    warnings,
  }
}

function judgeResponse(
  path: string,
  { method, target }: HttpRequest,
  { nonce, profile }: VerifiedRequestSignature,
  options: SignedRequestOptions,
  { now, clockSkew }: Judging,
): Result {
  const { status, headers, body } = parseHttpResponse(readInput(path), { isFile: true })
  const wit = headers.find(([name]) => name.toLowerCase() === 'workload-identity-token')?.[1] ?? ''
  const expected = peerOf(options.peer)
  const verified = verifyResponse(
    { status, headers, body },
    {
      request: { method, target, nonce, profile },
      bundles: readBundleSource(options.bundle, readOrigin(options.trustDomain), claimsOf(wit).sub),
      peer: (id) => expected === undefined || id === expected,
      required: true,
      now,
      clockSkew,
    },
  )
  return { ok: true, subject: verified?.id, status, covers: verified?.covers }
}

function peerOf(text: string | undefined): WorkloadId | undefined {
  if (text === undefined) return undefined
  try {
    return parseWorkloadSpiffeId(text)
  } catch (error) {
    if (!AimsError.is(error)) throw error
    throw new UsageError('--peer takes a SPIFFE ID such as spiffe://example.com/service/events-api')
  }
}
