import {
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
import { judgeWit, readRegistry, type WitOptions, witOptions } from './wit.ts'

interface Options extends WitOptions {
  readonly message: string
  readonly audience: readonly string[]
  readonly contextToken: readonly string[]
}

export function defineRequest(parent: Command): void {
  const command = parent.command('request').description('judge a whole request as a service would')
  witOptions(command)
    .requiredOption('--message <file>', 'the raw HTTP/1.1 request')
    .requiredOption('--audience <uri>', 'our own URI; repeatable', collect)
    .option('--context-token <field>', 'a header whose token is used for authorization; repeatable', collect, [])
  judging(
    command,
    'aims verify request --message request.http --bundle bundle.json --trust-domain example.com --audience https://api.example.com',
  )
  command.action((options: Options) =>
    judge(options, async (judging): Promise<Result> => {
      const { now, profile, clockSkew } = judging
      const origin = readOrigin(options.trustDomain)
      const { trustDomain } = origin
      const { audiences, origins } = readOwnUris(options.audience)
      const { method, target, headers, body } = parseHttpRequest(readInput(options.message), { isFile: true })
      const wit = witOf(headers)
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
        methods: ['wit+wpt'],
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
    }),
  )
}

function only(profile: Profile, trustDomain: TrustDomain): ProfileRule {
  return profile === 'wimse' ? { profile } : { profile, trustDomains: [trustDomain] }
}

// The WIT of the message before anything is verified, or nothing: then the authenticator says what is wrong.
function witOf(headers: RawHeaders): string {
  try {
    const carried = readCarriage(headers)
    return carried.kind === 'proof' ? carried.wit : ''
  } catch (error) {
    if (AimsError.is(error)) return ''
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
