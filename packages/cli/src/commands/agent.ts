import { startAgent } from 'aims-agent'
import type { Command } from 'commander'
import { withExamples } from '../help.ts'
import { print } from '../output.ts'
import { runUntilStopped } from '../running.ts'
import { configOf } from '../server-options.ts'
import { defineNodes } from './nodes.ts'
import { defineRetire } from './retire.ts'

/** `aims agent`: the node agent, until it is told to stop; below it, what operators decide about agents on other hosts. */
export function define(command: Command): void {
  const complete = command
    .option('--config <file>', 'configuration file (YAML or JSON); settings may also come from AIMS_* variables')
    .option('--broker', 'also be a credential broker, by the rules of agent.egress.rules')
    .option('--json', 'print one JSON object when ready')
    .action(async (options: { config?: string; broker?: true; json?: true }) => {
      const config = await configOf(options, options.broker === true ? { 'agent.egress.enabled': true } : {})
      const agent = await startAgent(config)
      const { 'agent.socket': socket, 'agent.server': server } = config
      print(
        {
          ok: true,
          endpoint: `unix://${socket}`,
          ...(server === undefined ? {} : { server }),
          ...(agent.egress === undefined ? {} : { broker: agent.egress.socketPath }),
          ...(agent.egress?.port === undefined ? {} : { brokerPort: agent.egress.port }),
        },
        options.json === true,
      )
      await runUntilStopped(agent)
    })
  withExamples(
    complete,
    'aims agent --config /etc/aims/aims.yaml',
    'aims agent --broker --config /etc/aims/aims.yaml',
    'AIMS_JOIN_TOKEN="$(cat token)" aims agent --config /etc/aims/agent.yaml   # with agent.server: on another host',
    'aims agent list',
    'aims agent ban join-token:name:edge',
    "aims agent retire spiffe://example.com/agent/calendar-bot --reason 'replaced by planner'",
  )
  defineNodes(command)
  defineRetire(command)
}
