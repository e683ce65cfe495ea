// npm run leaks [-- --steps N --seed N]: a hostile model, every way out that we know, and whether a credential got there.
import { parseArgs } from 'node:util'
import { findLeaks, type RunReport } from './harness.ts'

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' } },
})
const [steps, seed] = [Number(values.steps), Number(values.seed)]
if (!Number.isSafeInteger(steps) || steps < 100 || !Number.isSafeInteger(seed))
  throw new TypeError('--steps takes a number from 100 on')

const started = performance.now()
const { broker, inProcess, baseline, served, astray, heapBytes, characters } = await findLeaks({ steps, seed })
const seconds = (performance.now() - started) / 1000
const { user, system } = process.cpuUsage()

const sum = (leaks: RunReport['leaks']): number => [...leaks.values()].reduce((all, count) => all + count, 0)
const channels = new Set([...broker.channels, ...inProcess.channels])
const leaks = sum(broker.leaks) + sum(inProcess.leaks)
const violations = [...broker.violations, ...inProcess.violations]

function line(name: string, { steps: count, texts, channels: ways, leaks: found }: RunReport): string {
  return `${name.padEnd(36)} ${count} steps, ${texts} texts, ${ways.size} channels, ${sum(found)} leaks\n`
}
process.stdout.write(line('through the broker, real sockets:', broker))
process.stdout.write(line('objects of the SDK, in process:', inProcess))
process.stdout.write(line('baseline, key in the environment:', baseline))
process.stdout.write(
  `requests that were served with a credential: ${served}; that arrived where no rule leads: ${astray}\n`,
)
process.stdout.write(
  `looked through: ${(characters / 1e6).toFixed(0)} million characters, among them a heap of ${(heapBytes / 1e6).toFixed(0)} MB\n`,
)
process.stdout.write(`seed ${seed}, ${seconds.toFixed(0)} s, ${((user + system) / 1e6).toFixed(0)} s of CPU here\n`)
for (const [leak, count] of [...broker.leaks, ...inProcess.leaks]) process.stdout.write(`LEAK ${leak} (${count})\n`)
for (const violation of new Set(violations)) process.stdout.write(`VIOLATION ${violation}\n`)
process.stdout.write(
  `steps: ${broker.steps + inProcess.steps}  channels: ${channels.size}  leaks: ${leaks}  baseline leaks: ${sum(baseline.leaks)}\n`,
)
const isProven = leaks === 0 && violations.length === 0 && astray === 0 && served > 0 && sum(baseline.leaks) > 0
process.exitCode = isProven ? 0 : 1
