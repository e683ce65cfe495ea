import { AimsError, type AuditEvent, type Observer } from 'aims/base'
import { ABOUT_US } from './identity-cache.ts'

/** Events that wait for the server at most; about 20 MB. */
const MAX_WAITING = 20_000
/** Of them, about workloads of one user: nobody takes the places of the others. */
const MAX_OF_ONE = 5000

/**
 * Reports to an observer that may be away for a while, such as a server over its API: events that cannot be delivered
 * wait in memory and are sent, in order, before the next one that can. So workloads are served from what the node holds
 * while the server is down. When the queue is full, events are refused, and with them what they are about; so are
 * those about workloads of one user when a quarter of it is theirs.
 *
 * What waits is lost when the agent is killed before the server is back. Issuance does not depend on it: the server
 * records that itself.
 */
export function spoolingObserver(target: Observer, log: (line: string) => void): Observer {
  const waiting: AuditEvent[] = []
  const places = new Map<string, number>()
  const count = (event: AuditEvent, change: number): void => {
    const user = userOf(event)
    const next = (places.get(user) ?? 0) + change
    if (next === 0) places.delete(user)
    else places.set(user, next)
  }
  let flushing: Promise<void> | undefined

  const flush = async (): Promise<void> => {
    for (let event = waiting[0]; event !== undefined; event = waiting[0]) {
      try {
        await target.record(event)
      } catch (error) {
        if (isAway(error)) throw error
        log(`aims agent: a record was refused: ${AimsError.is(error) ? error.code : 'unknown error'}`)
      }
      waiting.shift()
      count(event, -1)
    }
  }

  return {
    async record(event) {
      try {
        if (waiting.length > 0) {
          flushing ??= flush().finally(() => {
            flushing = undefined
          })
          await flushing
        }
        await target.record(event)
      } catch (error) {
        if (!isAway(error)) throw error
        if (waiting.length >= MAX_WAITING || (places.get(userOf(event)) ?? 0) >= MAX_OF_ONE) throw error
        if (waiting.length === 0) log('aims agent: the server is away: records wait in memory')
        waiting.push(event)
        count(event, 1)
      }
    },
  }
}

// What the kernel said of the peer, see peer.ts.
function userOf({ details }: AuditEvent): string {
  return String(details?.uid)
}

function isAway(error: unknown): boolean {
  return AimsError.is(error) && AWAY.has(error.code)
}

const AWAY: ReadonlySet<string> = new Set([
  'operation.server_unreachable',
  'operation.server_timeout',
  'operation.shutting_down',
  'operation.rate_limited',
  // A banned agent tells nobody anything, its workloads' refusals included: they must get theirs all the same.
  'provisioning.agent_banned',
  ...ABOUT_US,
])
