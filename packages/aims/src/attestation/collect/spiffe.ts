import type { X509Svid } from '../../credentials/x509-svid/source.ts'
import { signPop } from '../x509-pop/evidence.ts'
import type { EvidenceCollector } from './collector.ts'

/**
 * Makes the collector of `spiffe`: this process proves who it is in another trust domain.
 *
 * @param read - Asked at every challenge, e.g. `() => workload.x509.x509Svid()`; `undefined`: there is no such identity.
 */
export function spiffeCollector(read: () => X509Svid | undefined): EvidenceCollector {
  return {
    type: 'spiffe',
    async collect({ challenge }) {
      const svid = read()
      return svid === undefined ? undefined : signPop(svid.certificates, svid.key.tlsKey, challenge, 'spiffe')
    },
  }
}
