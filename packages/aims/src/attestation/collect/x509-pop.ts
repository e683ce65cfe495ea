import type { KeyObject } from 'node:crypto'
import { refuseAs } from '../../base/errors.ts'
import { importPrivateKey } from '../../base/keys.ts'
import { parseVendorCertificates } from '../x509/vendor-certificate.ts'
import { signPop } from '../x509-pop/evidence.ts'
import type { EvidenceCollector } from './collector.ts'

/** Certificate and key of this machine. */
export interface MachineCertificate {
  /** PEM, leaf first, with the intermediates. */
  readonly certificates: Uint8Array
  /** PEM, unencrypted. */
  readonly key: string | Uint8Array
}

/**
 * Makes the collector of `x509-pop`.
 *
 * @param read - Asked at every challenge, so that a renewed certificate is seen; `undefined`: this machine has none.
 */
export function x509PopCollector(
  read: () => MachineCertificate | undefined | Promise<MachineCertificate | undefined>,
): EvidenceCollector {
  return {
    type: 'x509-pop',
    async collect({ challenge }) {
      const found = await read()
      if (found === undefined) return undefined
      const chain = parseVendorCertificates(found.certificates).map(({ raw }) => raw)
      const key: KeyObject = refuseAs(
        'attestation.collection_failed',
        'the key of the certificate cannot be read',
        () => importPrivateKey(found.key),
      )
      return signPop(chain, key, challenge)
    },
  }
}
