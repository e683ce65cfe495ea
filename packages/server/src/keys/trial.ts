import { AimsError, WorkloadKey } from 'aims/base'
import {
  bundleSource,
  createX509Authority,
  emptyBundle,
  issueX509Svid,
  verifyX509Svid,
  type X509AuthorityOptions,
} from 'aims/credentials'
import { joinSpiffeId } from 'aims/identifiers'

/**
 * Issues an SVID that nobody gets and verifies it as others would, under the root alone: whether constraints of names and path
 * lengths of the CAs above leave anything to issue is known before the CA is published.
 *
 * @param now - Seconds since the epoch.
 * @throws {@link AimsError} `provisioning.upstream_unusable`, with the verdict as cause
 */
export async function tryAuthority(options: X509AuthorityOptions, now: number): Promise<void> {
  const { trustDomain, chain = [] } = options
  const authority = createX509Authority(options)
  const { certificates } = await issueX509Svid(
    {
      spiffeId: joinSpiffeId(trustDomain, 'aims', 'server'),
      publicKey: WorkloadKey.generate().publicKey,
      notBefore: Math.floor(now) - 1,
      notAfter: Math.floor(now) + 60,
    },
    authority,
  )
  const bundles = bundleSource({ ...emptyBundle(trustDomain), x509Authorities: chain.slice(-1) })
  try {
    verifyX509Svid(certificates, { bundles, now, trustDomain })
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    const message = `verifiers would refuse what CAs below the upstream CA sign: ${cause.code}`
    throw new AimsError('provisioning.upstream_unusable', message, { cause })
  }
}
