import { AimsError } from 'aims/base'
import type { X509Svid } from 'aims/credentials'
import { connectWorkload, type Workload } from 'aims/provisioning'
import type { Core } from './core.ts'

/** The X.509-SVID that the HTTPS listener shows. */
export interface ListenerIdentity {
  readonly first: X509Svid
  /** The next one, when the one in use is to be exchanged. */
  next(current: X509Svid): Promise<X509Svid | undefined>
  /** Calls `listener` when there may be a next one. @returns a function that ends it */
  onChange(listener: () => void): () => void
}

/** Milliseconds for the Workload API to say who this server is. */
const PATIENCE = 30_000

/**
 * Connects to the Workload API of another trust domain, which says who this server is there.
 *
 * @throws {@link AimsError} `operation.config_invalid`, `provisioning.*`
 */
export async function connectForeign(address: string, say: (line: string) => void): Promise<Workload> {
  const onWaiting = ({ message }: AimsError): void => say(`aims server: ${address}: still waiting: ${message}`)
  try {
    const workload = await connectWorkload({ address, readyTimeout: PATIENCE, onWaiting })
    // Without a certificate there is nothing to listen with.
    workload.x509.x509Svid()
    return workload
  } catch (cause) {
    if (!AimsError.is(cause) || cause.code !== 'provisioning.invalid_endpoint') throw cause
    throw new AimsError('operation.config_invalid', `"listen.workloadApi": ${cause.message}`, { cause })
  }
}

/** The server as a workload of its own trust domain. A tainted authority has it renewed at once. */
export async function ownListenerIdentity({
  authorities,
  isOwnSvidDue,
  renewOwnSvid,
}: Pick<Core, 'authorities' | 'isOwnSvidDue' | 'renewOwnSvid'>): Promise<ListenerIdentity> {
  return {
    first: await renewOwnSvid(),
    next: async (current) => (isOwnSvidDue(current) ? await renewOwnSvid() : undefined),
    onChange: authorities.onChange,
  }
}

/** The identity that another trust domain gives. While it gives none, the last one is shown to its end. */
export function foreignIdentity({ x509, onUpdate }: Pick<Workload, 'x509' | 'onUpdate'>): ListenerIdentity {
  return {
    first: x509.x509Svid(),
    async next(current) {
      try {
        const newest = x509.x509Svid()
        return newest === current ? undefined : newest
      } catch (error) {
        if (!AimsError.is(error)) throw error
        return undefined
      }
    },
    onChange: onUpdate,
  }
}
