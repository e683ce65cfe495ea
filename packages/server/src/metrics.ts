/** Numbers for Prometheus. Labels come from fixed sets only, so that nobody can make them grow (L7). */
export interface Metrics {
  /** Adds one to a counter. */
  count(name: CounterName, labels?: Labels): void
  /** A number that is read when it is asked for. */
  gauge(name: string, help: string, read: () => number): void
  /** Prometheus text format 0.0.4. */
  render(): string
}

type Labels = { readonly [name: string]: string }
type CounterName = keyof typeof COUNTERS

const COUNTERS = {
  aims_http_requests_total: 'Answers by route and status.',
  aims_credentials_issued_total: 'Credentials issued, by type.',
  aims_refused_total: 'Refusals recorded, by area.',
  aims_refusals_omitted_total: 'Refusals that were counted and not recorded.',
  aims_records_total: 'Records written to the log, by decision.',
  aims_internal_errors_total: 'Requests that failed through a fault of the server.',
} as const

/** A registry of its own per server. */
export function createMetrics(): Metrics {
  const counters = new Map<CounterName, Map<string, number>>()
  const gauges: { readonly name: string; readonly help: string; readonly read: () => number }[] = []
  return {
    count(name, labels = {}) {
      const key = Object.entries(labels)
        .map(([label, value]) => `${label}="${value.replace(/[\\"\n]/g, '_')}"`)
        .join(',')
      const values = counters.get(name) ?? new Map<string, number>()
      values.set(key, (values.get(key) ?? 0) + 1)
      counters.set(name, values)
    },
    gauge: (name, help, read) => void gauges.push({ name, help, read }),
    render() {
      const lines: string[] = []
      for (const [name, values] of counters) {
        lines.push(`# HELP ${name} ${COUNTERS[name]}`, `# TYPE ${name} counter`)
        for (const [labels, value] of values) lines.push(`${name}${labels === '' ? '' : `{${labels}}`} ${value}`)
      }
      for (const { name, help, read } of gauges) {
        lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, `${name} ${read()}`)
      }
      return `${lines.join('\n')}\n`
    },
  }
}
