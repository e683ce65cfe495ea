import type { Step } from './step.ts'

/** Prints steps as they happen: a readable timeline, or one JSON object per line. */
export function timeline(json: boolean): (step: Step) => void {
  if (json) {
    return ({ step, expected, observed, ok, ms, title, facts }) =>
      process.stdout.write(`${JSON.stringify({ step, expected, observed, ok, ms, title, facts })}\n`)
  }
  return (step) => {
    const mark = step.ok ? 'ok ' : 'NOT'
    process.stdout.write(
      `${mark} ${step.step.padEnd(3)} ${step.title.padEnd(62)} ${`${step.ms.toFixed(1)} ms`.padStart(10)}\n`,
    )
    process.stdout.write(`        ${step.observed}\n`)
    if (!step.ok) process.stdout.write(`        expected: ${step.expected}\n`)
    for (const [name, value] of Object.entries(step.facts)) {
      const text = typeof value === 'string' ? value : JSON.stringify(value)
      process.stdout.write(`        ${name}: ${text}\n`)
    }
  }
}
