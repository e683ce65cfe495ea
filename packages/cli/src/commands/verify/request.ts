import {
  type Carried,
  createAuthenticator,
  createMemoryReplayStore,
  type ProfileRule,
  type RawHeaders,
  readCarriage,
} from 'aims/authentication'
import { AimsError, noObserver, parseHttpRequest } from 'aims/base'
import type { Profile } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import type { Command } from 'commander'
import { readInput } from '../../input.ts'
import type { Result } from '../../output.ts'
import {
  claimsOf,
  collect,
  judge,
  judging,
  originOf,
  readBundleSource,
  readOrigin,
  readOwnUris,
  toTime,
} from './options.ts'
import { judgeSignedRequest, OLDER_SIGNATURES, type SignedRequestOptions } from './signed-request.ts'
import { judgeWit, readRegistry, witOptions } from './wit.ts'

interface Options extends SignedRequestOptions {
  readonly message: string
  readonly audience: readonly string[]
}

export function defineRequest(parent: Command): void {
  const command = parent
    .command('request')
    .description('judge a whole request as a service would: with a proof token, or signed')
  witOptions(command)
    .requiredOption('--message <file>', 'the raw HTTP/1.1 request')
    .requiredOption('--audience <uri>', 'our own URI; repeatable', collect)
    .option('--context-token <field>', 'a header whose token is used for authorization; repeatable', collect, [])
    .option('--response <file>', 'the raw HTTP/1.1 response to a signed request, which must be signed too')
    .option('--peer <spiffe-id>', 'who must have signed the response; default: any workload of the trust domain')
  judging(
    command,
    'aims verify request --message request.http --bundle bundle.json --trust-domain example.com --audience https://api.example.com',
  )
  command.action((options: Options) => {
    // Signatures have an older shape of their own; their WITs are those of today.
    const isOlder = options.profile === OLDER_SIGNATURES
    return judge(isOlder ? { ...options, profile: 'wimse' } : options, async (judging): Promise<Result> => {
      const { now, profile, clockSkew } = judging
      const origin = readOrigin(options.trustDomain)
      const { trustDomain } = origin
      const { audiences, origins } = readOwnUris(options.audience)
      const request = parseHttpRequest(readInput(options.message), { isFile: true })
      const { method, target, headers, body } = request
      const carried = carriedBy(headers)
      if (carried?.kind === 'signature') {
        const accepted = isOlder ? OLDER_SIGNATURES : 'wimse'
        return judgeSignedRequest(request, carried, accepted, { audiences, origins }, options, judging)
      }
      if (isOlder) throw new AimsError('signature.missing', 'the request carries no WIMSE signature')
      const wit = carried?.kind === 'proof' ? carried.wit : ''
      const issuer = options.issuer ?? `https://${trustDomain}`
      const witAudience = options.witAudience ?? audiences[0] ?? ''
      const { confirmationKeys } = options
      const authenticator = createAuthenticator({
        bundles: readBundleSource(options.bundle, origin, claimsOf(wit).sub),
        audiences,
        origins,
        replays: createMemoryReplayStore({ capacity: 16 }),
        observer: noObserver,
        clock: () => now,
        clockSkew,
        methods: ['http-signature', 'wit+wpt'],
        profiles: [only(profile, trustDomain)],
        contextTokens: options.contextToken.map((field) => field.toLowerCase()),
        issuers: { [trustDomain]: [issuer] },
        witAudience,
        ...(confirmationKeys === undefined ? {} : { confirmationKeys: readRegistry(confirmationKeys, trustDomain) }),
      })
      const principal = await authenticator.authenticate({
        method,
        target: originForm(target, options.audience),
        headers,
        body,
      })
      // What a service does not ask of every WIT, and the command line may: one iss in any profile, and WIT-SVID.
      judgeWit(wit, profile === 'aims-00' ? { ...options, issuer, witAudience } : options, judging)
      return {
        ok: true,
        subject: principal.id,
        trustDomain,
        origin: originOf(principal.id),
        method: principal.method,
        profile: principal.profile,
        credential: principal.credential,
        covers: principal.covers,
        expiresAt: toTime(principal.expiresAt),
      }
    })
  })
}

function only(profile: Profile, trustDomain: TrustDomain): ProfileRule {
  return profile === 'wimse' ? { profile } : { profile, trustDomains: [trustDomain] }
}

// What the message carries before anything is verified, or nothing: then the authenticator says what is wrong.
function carriedBy(headers: RawHeaders): Carried | undefined {
  try {
    return readCarriage(headers)
  } catch (error) {
    if (AimsError.is(error)) return undefined
    throw error
  }
}

// A target in absolute form (RFC 9112 section 3.2.2) at our own origin means the same as its path and query.
function originForm(target: string, ownUris: readonly string[]): string {
  const [, origin, rest = ''] = /^(https?:\/\/[^/?#]+)(.*)$/.exec(target) ?? []
  const isOwn = ownUris.some((uri) => /^https?:\/\/[^/?#]+/.exec(uri)?.[0] === origin)
  if (origin === undefined || !isOwn) return target
  return rest.startsWith('/') ? rest : `/${rest}`
}
