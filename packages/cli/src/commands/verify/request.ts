//WAIT import { createAuthenticator, createMemoryReplayStore, type ProfileRule } from 'aims/authentication'
//WAIT import { noObserver, parseHttpRequest } from 'aims/base'
//WAIT import type { Profile } from 'aims/credentials'
//WAIT import type { TrustDomain } from 'aims/identifiers'
//WAIT import type { Command } from 'commander'
//WAIT import { readInput } from '../../input.ts'
//WAIT import type { Result } from '../../output.ts'
//WAIT import { judge, judging, readBundleSource, readTrustDomain, toTime } from './options.ts'
//WAIT import { type WitOptions, witOptions } from './wit.ts'
//WAIT
//WAIT interface Options extends WitOptions {
//WAIT   readonly message: string
//WAIT   readonly audience: string
//WAIT   readonly contextToken: readonly string[]
//WAIT }
//WAIT
//WAIT export function defineRequest(parent: Command): void {
//WAIT   const command = parent.command('request').description('judge a whole request as a service would')
//WAIT   witOptions(command)
//WAIT     .requiredOption('--message <file>', 'the raw HTTP/1.1 request')
//WAIT     .requiredOption('--audience <uri>', 'our own URI')
//WAIT     .option('--context-token <field>', 'a header whose token is used for authorization; repeatable', collect, [])
//WAIT   judging(
//WAIT     command,
//WAIT     'aims verify request --message request.http --bundle bundle.json --trust-domain example.com --audience https://api.example.com',
//WAIT   )
//WAIT   command.action((options: Options) =>
//WAIT     judge(options, async ({ now, profile }): Promise<Result> => {
//WAIT       const trustDomain = readTrustDomain(options.trustDomain)
//WAIT       const { method, target, headers, body } = parseHttpRequest(readInput(options.message))
//WAIT       const authenticator = createAuthenticator({
//WAIT         bundles: readBundleSource(options.bundle, trustDomain),
//WAIT         audiences: [options.audience],
//WAIT         replays: createMemoryReplayStore({ capacity: 16 }),
//WAIT         observer: noObserver,
//WAIT         clock: () => now,
//WAIT         methods: ['wit+wpt'],
//WAIT         profiles: [only(profile, trustDomain)],
//WAIT         contextTokens: options.contextToken.map((field) => field.toLowerCase()),
//WAIT         issuers: { [trustDomain]: [options.issuer ?? `https://${trustDomain}`] },
//WAIT         ...(options.witAudience === undefined ? {} : { witAudience: options.witAudience }),
//WAIT       })
//WAIT       const principal = await authenticator.authenticate({ method, target, headers, body })
//WAIT       return {
//WAIT         ok: true,
//WAIT         subject: principal.id,
//WAIT         trustDomain,
//WAIT         method: principal.method,
//WAIT         profile: principal.profile,
//WAIT         credential: principal.credential,
//WAIT         covers: principal.covers,
//WAIT         expiresAt: toTime(principal.expiresAt),
//WAIT       }
//WAIT     }),
//WAIT   )
//WAIT }
//WAIT
//WAIT function only(profile: Profile, trustDomain: TrustDomain): ProfileRule {
//WAIT   return profile === 'wimse' ? { profile } : { profile, trustDomains: [trustDomain] }
//WAIT }
//WAIT
//WAIT function collect(value: string, previous: readonly string[]): readonly string[] {
//WAIT   return [...previous, value]
//WAIT }
import type { Command } from 'commander'
export function defineRequest(_parent: Command): void {}
