import { randomUUID } from 'node:crypto'
import { type Clock, WorkloadKey } from 'aims/base'
import { decodeUnverifiedX509Svid, holdX509Svid, type X509Svid } from 'aims/credentials'
import { joinSpiffeId, type TrustDomain } from 'aims/identifiers'
import { type Issuer, parseEntry, type RegistrationEntry, type TtlRules } from 'aims/provisioning'
import type { StandingSigners } from './keys/authority-types.ts'

/** The server as a workload of its own trust domain: `spiffe://TRUST-DOMAIN/aims/server`. */
export interface OwnIdentity {
  /** The entry that the issuer finds for it. It is in no store and cannot be asked for from outside. */
  readonly entry: RegistrationEntry
  /** A new X.509-SVID with a new key. */
  renew(issuer: Issuer): Promise<X509Svid>
  /** True when half of the SVID's life is over, or the authority that signed it is not among those that stand. */
  isDue(svid: X509Svid, standing: StandingSigners): boolean
}

/** Makes the server's identity. */
export function createOwnIdentity(options: {
  readonly trustDomain: TrustDomain
  readonly dnsNames: readonly string[]
  readonly ttls: TtlRules
  readonly clock: Clock
}): OwnIdentity {
  const { trustDomain, dnsNames, ttls, clock } = options
  // Nobody outside this process can show this selector.
  const selectors = [`aims:process:${randomUUID()}`]
  const entry = parseEntry(
    {
      id: `aims-server-${randomUUID()}`,
      spiffeId: joinSpiffeId(trustDomain, 'aims', 'server'),
      selectors,
      credentialTypes: ['x509-svid'],
      // An address is no DNS name: clients that connect to one check the SPIFFE ID.
      dnsNames: dnsNames.filter((name) => /[a-z]/.test(name)),
    },
    { trustDomain, ttls },
  )
  return {
    entry,
    async renew(issuer) {
      const key = WorkloadKey.generate()
      const posture = { type: 'aims', selectors }
      const request = { entryId: entry.id, posture, correlationId: randomUUID(), publicKey: key.publicKey }
      const { certificates } = await issuer.issueX509(request)
      return holdX509Svid({ certificates, key })
    },
    isDue({ certificates, notBefore, expiresAt }, standing) {
      const { authorityKeyId = [] } = decodeUnverifiedX509Svid(certificates).leaf.extensions
      const isSound = standing['x509-ca'].includes(Buffer.from(authorityKeyId).toString('hex'))
      return clock() >= (notBefore + expiresAt) / 2 || !isSound
    },
  }
}
