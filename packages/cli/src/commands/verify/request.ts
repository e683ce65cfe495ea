import { createAuthenticator, createMemoryReplayStore, type ProfileRule, type RawHeaders } from 'aims/authentication'
import { AimsError, noObserver, parseHttpRequest } from 'aims/base'
import { decodeUnverifiedWit, type Profile } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import type { Command } from 'commander'
import { readInput } from '../../input.ts'
import type { Result } from '../../output.ts'
import { judge, judging, readBundleSource, readOrigin, toTime } from './options.ts'
import { type WitOptions, witOptions } from './wit.ts'

interface Options extends WitOptions {
  readonly message: string
  readonly audience: string
  readonly contextToken: readonly string[]
}

export function defineRequest(parent: Command): void {
  const command = parent.command('request').description('judge a whole request as a service would')
  witOptions(command)
    .requiredOption('--message <file>', 'the raw HTTP/1.1 request')
    .requiredOption('--audience <uri>', 'our own URI')
    .option('--context-token <field>', 'a header whose token is used for authorization; repeatable', collect, [])
  judging(
    command,
    'aims verify request --message request.http --bundle bundle.json --trust-domain example.com --audience https://api.example.com',
  )
  command.action((options: Options) =>
    judge(options, async ({ now, profile, clockSkew }): Promise<Result> => {
      const origin = readOrigin(options.trustDomain)
      const { trustDomain } = origin
      const { method, target, headers, body } = parseHttpRequest(readInput(options.message), { isFile: true })
      const authenticator = createAuthenticator({
        bundles: readBundleSource(options.bundle, origin, claimedSubject(headers)),
        audiences: [options.audience],
        replays: createMemoryReplayStore({ capacity: 16 }),
        observer: noObserver,
        clock: () => now,
        clockSkew,
        methods: ['wit+wpt'],
        profiles: [only(profile, trustDomain)],
        contextTokens: options.contextToken.map((field) => field.toLowerCase()),
        issuers: { [trustDomain]: [options.issuer ?? `https://${trustDomain}`] },
        ...(options.witAudience === undefined ? {} : { witAudience: options.witAudience }),
      })
      const principal = await authenticator.authenticate({ method, target, headers, body })
      return {
        ok: true,
        subject: principal.id,
        trustDomain,
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

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value]
}

// Who the WIT of the message says it is about, before anything is verified: it only decides the scheme of a bare
// `--trust-domain`.
function claimedSubject(headers: RawHeaders): unknown {
  for (const [name, value] of headers) {
    if (!/^(?:workload-identity-token|authorization)$/i.test(name)) continue
    try {
      const { sub } = decodeUnverifiedWit(value.replace(/^bearer +/i, '')).claims
      if (sub !== undefined) return sub
    } catch (error) {
      // Something else, or malformed: the verifier says so.
      if (!AimsError.is(error)) throw error
    }
  }
  return undefined
}
