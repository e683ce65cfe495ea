import { AimsError, refuseAs } from '../../base/errors.ts'
import { encodePem, parsePem } from '../../base/pem.ts'
import { parseCertificate } from '../../base/x509-certificate.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import type { TrustBundle } from './bundle.ts'

/**
 * Reads CA certificates in PEM as the X.509 part of a bundle. Blocks that are no certificate are refused.
 *
 * The text does not say whose it is: `trustDomain` comes from where you got it.
 *
 * @throws {@link AimsError} `bundle.malformed`, `bundle.invalid_key`
 */
export function parsePemBundle(text: string, trustDomain: TrustDomain): TrustBundle {
  const blocks = refuseAs('bundle.malformed', 'not PEM', () => parsePem(text))
  if (blocks.some(({ label }) => label !== 'CERTIFICATE')) {
    throw new AimsError('bundle.malformed', 'a PEM bundle has certificates and nothing else')
  }
  const x509Authorities = blocks.map(({ bytes }) => bytes)
  for (const der of x509Authorities) {
    const { isCa } = refuseAs('bundle.invalid_key', 'a block is not a certificate', () => parseCertificate(der))
    if (!isCa) throw new AimsError('bundle.invalid_key', 'a certificate of the bundle is not that of a CA')
  }
  return { trustDomain, x509Authorities, jwtAuthorities: new Map(), witAuthorities: new Map() }
}

/** Writes the X.509 authorities of a bundle as PEM. */
export function serializePemBundle({ x509Authorities }: TrustBundle): string {
  return x509Authorities.map((der) => encodePem('CERTIFICATE', der)).join('')
}
