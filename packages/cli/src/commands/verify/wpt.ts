import { createMemoryReplayStore, verifyWpt } from 'aims/authentication'
import type { Command } from 'commander'
import { UsageError } from '../../exit.ts'
import { readInput, readToken } from '../../input.ts'
import type { Result } from '../../output.ts'
import { judge, judging, toTime } from './options.ts'
import { describeWit, judgeWit, type WitOptions, witOptions } from './wit.ts'

interface WptOptions extends WitOptions {
  readonly proof: string
  readonly wit: string
  readonly audience: string
  readonly header: readonly string[]
  readonly method?: string
  readonly target?: string
  readonly body?: string
}

export function defineWpt(parent: Command): void {
  const command = parent.command('wpt').description('judge a Workload Proof Token together with its WIT')
  witOptions(command)
    .requiredOption('--proof <file>', 'the WPT')
    .requiredOption('--wit <file>', 'the WIT it was made for')
    .requiredOption('--audience <uri>', 'our own URI')
    .option('--header <line>', "a header of the request, as 'Name: value'; repeatable", collect, [])
    .option('--method <name>', 'the method of the request, to compare htm')
    .option('--target <path>', 'path and query of the request, to compare htu')
    .option('--body <file>', 'the body of the request, to compare the body digest')
  judging(
    command,
    'aims verify wpt --proof wpt.jwt --wit wit.jwt --bundle bundle.json --trust-domain example.com --audience https://api.example.com/path',
  )
  command.action((options: WptOptions) =>
    judge(options, async (judging): Promise<Result> => {
      const { now, profile, clockSkew } = judging
      const given = options.witAudience === undefined ? { ...options, witAudience: options.audience } : options
      const { wit, warnings } = judgeWit(readToken(options.wit), given, judging)
      const proof = await verifyWpt(readToken(options.proof), {
        wit,
        profile,
        audiences: [options.audience],
        now,
        clockSkew,
        replays: createMemoryReplayStore({ capacity: 16 }),
        method: options.method,
        target: options.target,
        ...(options.body === undefined ? {} : { body: readInput(options.body) }),
        ...otherTokens(options.header),
      })
      return {
        ok: true,
        ...describeWit(wit),
        proof: { audience: proof.audience, expiresAt: toTime(proof.expiresAt), covers: proof.covers },
        warnings,
      }
    }),
  )
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value]
}

interface OtherTokens {
  accessToken?: string
  txnToken?: string
  otherTokens?: { readonly [field: string]: string }
}

// Txn-Token is bound by tth, an access token by ath; every other field given is a token that oth may bind.
function otherTokens(headers: readonly string[]): OtherTokens {
  const tokens: OtherTokens = {}
  const others: Record<string, string> = {}
  for (const line of headers) {
    const colon = line.indexOf(':')
    if (colon <= 0) throw new UsageError("--header takes 'Name: value'")
    const name = line.slice(0, colon).trim().toLowerCase()
    const value = line.slice(colon + 1).trim()
    const bearer = /^bearer +(.+)$/i.exec(value)
    if (name === 'txn-token') tokens.txnToken = value
    else if (name === 'authorization' && bearer?.[1] !== undefined) tokens.accessToken = bearer[1]
    else if (name !== 'authorization') others[name] = value
  }
  if (Object.keys(others).length > 0) tokens.otherTokens = others
  return tokens
}
