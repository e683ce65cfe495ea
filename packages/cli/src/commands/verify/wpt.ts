import { createMemoryReplayStore, verifyWpt, type WptExpectations } from 'aims/authentication'
import { AimsError } from 'aims/base'
import type { Profile } from 'aims/credentials'
import type { Command } from 'commander'
import { UsageError } from '../../exit.ts'
import { readInput, readToken } from '../../input.ts'
import type { Result } from '../../output.ts'
import { claimsOf, collect, judge, judging, readOwnUris, toTime } from './options.ts'
import { describeWit, judgeWit, type WitOptions, witOptions } from './wit.ts'

interface WptOptions extends WitOptions {
  readonly proof: string
  readonly wit: string
  readonly audience: readonly string[]
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
    .requiredOption('--audience <uri>', 'our own URI; repeatable', collect)
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
      const { audiences, origins } = readOwnUris(options.audience)
      const witAudience = options.witAudience ?? audiences[0]
      const given = witAudience === undefined ? options : { ...options, witAudience }
      const { wit, warnings } = judgeWit(readToken(options.wit), given, judging)
      const token = readToken(options.proof)
      const proof = await verifyWpt(token, {
        wit,
        profile,
        audiences,
        origins,
        now,
        clockSkew,
        replays: createMemoryReplayStore({ capacity: 16 }),
        method: options.method,
        target: options.target,
        ...(options.body === undefined ? {} : { body: readInput(options.body) }),
        ...tokensOf(options.header, profile),
      })
      return {
        ok: true,
        ...describeWit(wit),
        proof: { audience: proof.audience, expiresAt: toTime(proof.expiresAt), covers: proof.covers },
        warnings: [...warnings, ...notCompared(token, options)],
      }
    }),
  )
}

function notCompared(token: string, { method, target }: WptOptions): readonly string[] {
  const { htm, htu } = claimsOf(token)
  const warnings: string[] = []
  if (htm !== undefined && method === undefined) warnings.push('htm was not compared: pass --method')
  if (htu !== undefined && target === undefined) warnings.push('htu was not compared: pass --target')
  return warnings
}

type Tokens = Pick<WptExpectations, 'accessToken' | 'txnToken' | 'otherTokens' | 'findField'>

// Fields that carry no token. Every other field is one that oth must bind.
const NO_TOKEN = /^(?:host|date|connection|user-agent|accept(?:-.*)?|content-.*|workload-(?:identity|proof)-token)$/

// Txn-Token is bound by tth, an access token by ath, any other by oth.
function tokensOf(lines: readonly string[], profile: Profile): Tokens {
  const fields = readFields(lines)
  const authorization = fields.get('authorization') ?? ''
  const [, scheme = '', credentials] = /^([A-Za-z]+) +(.+)$/.exec(authorization) ?? []
  if (profile === 'wimse' && authorization !== '' && scheme.toLowerCase() !== 'wpt') {
    throw new AimsError('authentication.duplicate_field', 'Authorization carries the proof, and occurs once')
  }
  const isToken = (name: string): boolean => name !== 'authorization' && name !== 'txn-token' && !NO_TOKEN.test(name)
  return {
    accessToken: scheme.toLowerCase() === 'bearer' ? credentials : undefined,
    txnToken: fields.get('txn-token'),
    otherTokens: Object.fromEntries([...fields].filter(([name]) => isToken(name))),
    findField: (name) => fields.get(name),
  }
}

function readFields(lines: readonly string[]): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    if (name === undefined || value === undefined) throw new UsageError("--header takes 'Name: value'")
    const field = name.toLowerCase()
    if (fields.has(field)) {
      throw new AimsError('authentication.duplicate_field', 'a field that must occur once occurs more often')
    }
    fields.set(field, value)
  }
  return fields
}
