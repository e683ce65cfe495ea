import { AimsError, importPrivateKey, WorkloadKey } from 'aims/base'
import { holdX509Svid, type Wit, type X509Svid } from 'aims/credentials'
import { readWits } from 'aims/provisioning'
import type { WorkloadIdentity } from '../workload-backend.ts'

/** Credentials of a workload as objects that sign and cannot be printed. One for each identity and rotation. */
export interface HeldIdentity {
  /** @throws {@link AimsError} `egress.credential_unavailable` */
  wit(): Wit
  /** @throws {@link AimsError} `egress.credential_unavailable` */
  x509Svid(): X509Svid
}

const held = new WeakMap<WorkloadIdentity, HeldIdentity>()

/** Takes the credentials of an identity as the Workload API would give them, without giving them to anybody. */
export function holdIdentity(identity: WorkloadIdentity): HeldIdentity {
  const known = held.get(identity)
  if (known !== undefined) return known
  const { spiffeId, hint, wit, x509 } = identity
  const fresh: HeldIdentity = {
    wit: once(() => {
      if (wit === undefined) throw unavailable('WIT')
      const [read] = readWits({ svids: [{ spiffeId, hint, witSvid: wit.token, witSvidKey: wit.privateJwk }] })
      return read ?? unavailable('WIT')
    }),
    x509Svid: once(() => {
      if (x509 === undefined) throw unavailable('X.509-SVID')
      const key = new WorkloadKey(importPrivateKey(x509.privateKey))
      return holdX509Svid({ certificates: x509.certificates, key, hint })
    }),
  }
  held.set(identity, fresh)
  return fresh
}

function once<T>(make: () => T | AimsError): () => T {
  let made: { readonly value: T } | undefined
  return () => {
    if (made !== undefined) return made.value
    const value = make()
    if (AimsError.is(value)) throw value
    made = { value }
    return value
  }
}

function unavailable(type: string): AimsError {
  return new AimsError('egress.credential_unavailable', `the workload has no ${type}`)
}
