import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ApiClient, JsonObject } from 'aims/base'
import type { Configuration, RunningServer } from 'aims-server'
import { checkLog, describe, proveLastDecision } from './evidence.ts'
import { DEMO_POLICY } from './policy.ts'
import { type Observation, runStep, type Step } from './step.ts'
import type { WorkloadProcess } from './workload-process.ts'
import { BOT, LEGACY_BOT, startWorkloads } from './workloads.ts'

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
  const { servicePort, bot, legacy, stop } = await startWorkloads(context)
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
  try {
    const call = async (from: WorkloadProcess, task: JsonObject): Promise<Observation> =>
      describe(await from.ask({ do: 'call', port: servicePort, ...task }), api)
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
    return { ok, servicePort, close: stop }
  } catch (error) {
    await stop()
    throw error
  }
}
