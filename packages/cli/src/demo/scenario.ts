import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { AimsError, type ApiClient, isJsonObject, type JsonObject } from 'aims/base'
import { AuditReader, databaseSource, formatReceipt, verifyLog, verifyReceipt } from 'aims/monitoring'
import type { Configuration, RunningServer } from 'aims-server'
import { ensureEntry } from '../dev-entries.ts'
import { DEMO_POLICY } from './policy.ts'
import { type Observation, runStep, type Step } from './step.ts'
import { type Answer, ownRuntime, startWorkload, type WorkloadProcess } from './workload-process.ts'

/** What the scenario runs on. */
export interface DemoContext {
  readonly config: Configuration
  readonly server: RunningServer
  readonly api: ApiClient
  /** The shape of calendar-bot's tokens. */
  readonly profile: 'wimse' | 'aims-00'
  readonly report: (step: Step) => void
}

/** The demo's workloads, which stay up after the steps. */
export interface Demo {
  readonly ok: boolean
  readonly servicePort: number
  close(): Promise<void>
}

const AUDIENCE = 'https://api.example.com'
const SERVICE = 'spiffe://example.com/service/events-api'
const BOT = 'spiffe://example.com/agent/calendar-bot'
const LEGACY_BOT = 'spiffe://example.com/agent/legacy-bot'

// In aims-00 the WIT is where a bearer token would be, and is refused as one.
const NO_PROOF = { wimse: '401 authentication.missing_proof', 'aims-00': '401 authentication.wit_as_bearer' } as const

/** Writes the demo's policy where the service loads it from. */
export function writeDemoPolicy(dataDirectory: string): string {
  const directory = join(dataDirectory, 'policies')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  writeFileSync(join(directory, 'demo.cedar'), DEMO_POLICY)
  return directory
}

/** Registers and starts the demo's workloads and runs its steps, each reported as it happens. */
export async function runDemo(context: DemoContext): Promise<Demo> {
  const { config, server, api, profile, report } = context
  const processes: WorkloadProcess[] = []
  let ok = true
  const step = async (
    number: string,
    title: string,
    expected: string,
    action: () => Promise<Observation>,
  ): Promise<void> => {
    const result = await runStep(number, title, expected, action)
    ok &&= result.ok
    report(result)
  }
  const start = async (
    name: string,
    program: string,
    entry: JsonObject,
    more: Record<string, string> = {},
  ): Promise<WorkloadProcess> => {
    const executable = ownRuntime(join(config.dataDirectory, 'bin'), name)
    const selectors = [`unix:uid:${process.getuid?.() ?? 0}`, `unix:path:${executable}`]
    await ensureEntry(api, { owner: 'aims-demo', selectors, ...entry })
    const started = await startWorkload(executable, program, {
      SPIFFE_ENDPOINT_SOCKET: `unix://${config['agent.socket']}`,
      DEMO_AUDIENCE: AUDIENCE,
      DEMO_SERVICE_ID: SERVICE,
      ...more,
    })
    processes.push(started)
    return started
  }
  const close = async (): Promise<void> => {
    await Promise.all(processes.map((one) => one.stop()))
  }

  try {
    const service = await start(
      'events-api',
      'events-api',
      { spiffeId: SERVICE, dnsNames: ['localhost'] },
      {
        AIMS_SERVER_PORT: String(server.port),
        DEMO_POLICIES: join(config.dataDirectory, 'policies'),
      },
    )
    const { port } = (await service.ask({})).facts ?? {}
    const reach = { DEMO_SERVICE_PORT: String(port) }
    const shape = profile === 'aims-00' ? { profile, audiences: [AUDIENCE] } : { profile }
    const bot = await start('calendar-bot', 'agent', { spiffeId: BOT, ...shape }, reach)
    const legacy = await start(
      'legacy-bot',
      'agent',
      { spiffeId: LEGACY_BOT, profile: 'aims-00', audiences: [AUDIENCE] },
      reach,
    )

    const call = async (from: WorkloadProcess, task: JsonObject): Promise<Observation> =>
      describe(await from.ask({ do: 'call', ...task }), api)
    const allowed = (policy: string, how: string): string => `201 allowed by ${policy}, proven by ${how}`
    const adds = allowed('calendar-bot-adds-events', `wit+wpt (${profile})`)

    await step(
      '1',
      `calendar-bot (pid ${bot.pid}) is attested and gets its credentials`,
      `${BOT} has X.509-SVID, WIT and JWT-SVID`,
      () => bot.ask({ do: 'attest' }),
    )
    await step('2', 'POST /api/v1/events with WIT and WPT', adds, () => call(bot, {}))
    await step('3', 'the same request once more', '401 proof.replayed', () => call(bot, { tamper: 'replay' }))
    await step('4', 'the WIT without a proof', NO_PROOF[profile], () => call(bot, { tamper: 'no-proof' }))
    await step('5a', 'the body is changed on the way', '401 proof.body_mismatch', () => call(bot, { tamper: 'body' }))
    await step('5b', 'the method is changed on the way', '401 proof.method_mismatch', () =>
      call(bot, { tamper: 'method' }),
    )
    await step('6', 'DELETE /api/v1/events/1, which no policy permits', '403 denied: no-policy', () =>
      call(bot, { method: 'DELETE', target: '/api/v1/events/1' }),
    )
    await step('7', 'POST /api/v1/events over mTLS', allowed('calendar-bot-adds-events', 'mtls'), () =>
      call(bot, { via: 'mtls' }),
    )

    await step(
      '8a',
      `legacy-bot (pid ${legacy.pid}) is attested and gets tokens of profile aims-00`,
      `${LEGACY_BOT} has X.509-SVID, WIT and JWT-SVID`,
      () => legacy.ask({ do: 'attest' }),
    )
    await step('8b', 'aims-00: POST /api/v1/events', allowed('legacy-bot-adds-events', 'wit+wpt (aims-00)'), () =>
      call(legacy, {}),
    )
    await step('8c', 'aims-00: the same request once more', '401 proof.replayed', () =>
      call(legacy, { tamper: 'replay' }),
    )
    await step('8d', 'aims-00: the WIT without a proof', NO_PROOF['aims-00'], () =>
      call(legacy, { tamper: 'no-proof' }),
    )
    await step('8e', 'aims-00: the body is changed on the way', '401 proof.body_mismatch', () =>
      call(legacy, { tamper: 'body' }),
    )
    await step('8f', 'aims-00: the method is changed on the way', '401 proof.method_mismatch', () =>
      call(legacy, { tamper: 'method' }),
    )
    await step('8g', 'aims-00: DELETE, which no policy permits', '403 denied: no-policy', () =>
      call(legacy, { method: 'DELETE', target: '/api/v1/events/1' }),
    )

    await step('9a', 'the log proves the last decision', 'the record is under the signed checkpoint', async () =>
      proveLastDecision(config),
    )
    await step('9b', 'the whole log is hashed again, without the server', 'every record is what was signed', async () =>
      checkLog(config, server),
    )
    return { ok, servicePort: Number(port), close }
  } catch (error) {
    await close()
    throw error
  }
}

/** What came of a call: the caller got a status and an id, the operator finds the reason in the log. */
async function describe({ observed, facts = {} }: Answer, api: ApiClient): Promise<Observation> {
  const { id, caller, method, profile, effect, because, policies, covers, challenge } = facts
  if (observed === '201' && Array.isArray(policies)) {
    const how = profile === undefined ? String(method) : `${String(method)} (${String(profile)})`
    return {
      observed: `201 ${String(effect)}ed by ${policies.join(', ')}, proven by ${how}`,
      facts: { caller, covers },
    }
  }
  if (observed === '403') return { observed: `403 denied: ${String(because)}`, facts: { caller, id } }
  const reason = typeof id === 'string' ? await reasonOf(id, api) : undefined
  return { observed: `${observed} ${reason ?? 'without a record'}`, facts: { 'WWW-Authenticate': challenge, id } }
}

async function reasonOf(id: string, api: ApiClient): Promise<string | undefined> {
  const answer = await api.send({ method: 'GET', path: `/v1/audit/records?correlationId=${encodeURIComponent(id)}` })
  const records = isJsonObject(answer) && Array.isArray(answer.records) ? answer.records.filter(isJsonObject) : []
  const refused = records.find(({ type }) => type === 'authentication.refused')
  return Array.isArray(refused?.reasons) ? refused.reasons.join(' ') : undefined
}

function proveLastDecision({ dataDirectory }: Configuration): Observation {
  using reader = AuditReader.openFile(join(dataDirectory, 'log.sqlite'))
  const [last] = reader.list({ type: 'authorization.decided', limit: 1 })
  if (last === undefined) throw new AimsError('audit.unknown_index', 'no decision was recorded')
  const receipt = reader.receipt(last.record.index)
  const { index, size } = verifyReceipt(last.bytes, receipt, { vkey: reader.vkey })
  return {
    observed: 'the record is under the signed checkpoint',
    facts: {
      record: last.record,
      proof: `record ${index} of ${size}, ${receipt.hashes.length} hashes`,
      checkpoint: receipt.checkpoint.trimEnd().split('\n'),
      'receipt (bytes)': formatReceipt(receipt).length,
    },
  }
}

function checkLog({ dataDirectory }: Configuration, { logKey }: RunningServer): Observation {
  using source = databaseSource(join(dataDirectory, 'log.sqlite'))
  const verdict = verifyLog(source, { vkey: logKey })
  if (!verdict.ok) return { observed: `${verdict.code} at record ${verdict.index}` }
  return {
    observed: 'every record is what was signed',
    facts: { records: verdict.size, root: verdict.root, key: logKey },
  }
}
