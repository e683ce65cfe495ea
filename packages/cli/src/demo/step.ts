/** One line of the demo's timeline: what should happen, what did, and how long it took. */
export interface Step {
  readonly step: string
  readonly title: string
  readonly expected: string
  readonly observed: string
  readonly ok: boolean
  readonly ms: number
  /** Facts worth seeing: identifiers, claims, sizes. Never a token. */
  readonly facts: { readonly [name: string]: unknown }
}

/** What a step found out. */
export interface Observation {
  readonly observed: string
  readonly facts?: { readonly [name: string]: unknown }
}

/** Runs one step, measures it, and compares: a step that throws did not do what it should. */
export async function runStep(
  step: string,
  title: string,
  expected: string,
  action: () => Promise<Observation>,
): Promise<Step> {
  const started = performance.now()
  let observation: Observation
  try {
    observation = await action()
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string }
    observation = { observed: `failed: ${code ?? message ?? 'unknown'}` }
  }
  const ms = Math.round((performance.now() - started) * 100) / 100
  const { observed, facts = {} } = observation
  return { step, title, expected, observed, ok: observed === expected, ms, facts }
}
