import { AimsError } from 'aims/base'
import type { Workload } from 'aims/provisioning'
import type { Count, Kind } from './protocol.ts'

/** Counts what happens in one crew. */
export class Tally {
  requests = 0
  reconnected = 0
  readonly #verified: { [kind in Kind]: number } = { mtls: 0, 'wit+wpt': 0, 'jwt-svid': 0 }
  readonly #failed = new Map<string, number>()
  readonly #rotated = { 'x509-svid': 0, wit: 0, 'jwt-svid': 0 }
  readonly #workloads = new Map<Workload, { x509: string; wit: string; jwt: string }>()

  /** Follows the keys of a workload. */
  watch(workload: Workload): void {
    const seen = { x509: '', wit: '', jwt: '' }
    this.#workloads.set(workload, seen)
    const look = (): void => {
      const { x509 = seen.x509, wit = seen.wit } = keysOf(workload)
      if (seen.x509 !== '' && x509 !== seen.x509) this.#rotated['x509-svid'] += 1
      if (seen.wit !== '' && wit !== seen.wit) this.#rotated.wit += 1
      Object.assign(seen, { x509, wit })
    }
    look()
    workload.onUpdate(look)
  }

  /** A token that was used. */
  used(workload: Workload, token: string): void {
    const seen = this.#workloads.get(workload)
    if (seen === undefined) return
    if (seen.jwt !== '' && seen.jwt !== token) this.#rotated['jwt-svid'] += 1
    seen.jwt = token
  }

  verified(kind: Kind): void {
    this.#verified[kind] += 1
  }

  /** A verifier said no. */
  refused(reasons: readonly string[]): void {
    for (const reason of reasons) this.failed(`refused ${reason}`)
  }

  failed(reason: string): void {
    this.#failed.set(reason, (this.#failed.get(reason) ?? 0) + 1)
  }

  count(): Count {
    const { user, system } = process.cpuUsage()
    const workloads = [...this.#workloads.keys()]
    return {
      requests: this.requests,
      reconnected: this.reconnected,
      verified: this.#verified,
      failed: Object.fromEntries(this.#failed),
      rotated: this.#rotated,
      served: workloads.filter((one) => keysOf(one).x509 !== undefined).length,
      cpu: (user + system) / 1e6,
    }
  }
}

function keysOf({ x509, wit }: Workload): { readonly x509?: string; readonly wit?: string } {
  try {
    return { x509: x509.x509Svid().key.kid ?? '', wit: wit.wit().key.kid ?? '' }
  } catch (error) {
    // An identity that was taken away has no keys.
    if (AimsError.is(error)) return {}
    throw error
  }
}
