import { encodePem } from '../../base/pem.ts'
import type { TrustDomain } from '../../identifiers/spiffe-id.ts'
import { anyMessage, TYPE_PREFIX } from '../workload-api/any.ts'
import { writeBytes, writeElement, writeMessage } from '../workload-api/protobuf.ts'

/** What one secret holds. */
export type SecretContent =
  | {
      readonly kind: 'tls-certificate'
      /** DER, leaf first. */
      readonly certificates: readonly Uint8Array[]
      /** PKCS#8 DER, unencrypted. */
      readonly privateKey: Uint8Array
    }
  | {
      /** Peers are checked by the rules of SPIFFE: each trust domain by its own authorities. */
      readonly kind: 'spiffe-validator'
      readonly trustDomains: readonly TrustDomainAuthorities[]
    }
  | {
      /** Peers are checked as on the web, whatever the trust domain in their certificates. */
      readonly kind: 'trusted-ca'
      readonly authorities: readonly Uint8Array[]
    }

/** The X.509 authorities of one trust domain, DER. */
export interface TrustDomainAuthorities {
  readonly trustDomain: TrustDomain
  readonly authorities: readonly Uint8Array[]
}

/** The type URL of secrets, and the only one that secret discovery knows. */
export const SECRET_TYPE: string = `${TYPE_PREFIX}envoy.extensions.transport_sockets.tls.v3.Secret`

const SPIFFE_VALIDATOR = 'envoy.tls.cert_validator.spiffe'
const SPIFFE_VALIDATOR_TYPE = `${TYPE_PREFIX}envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig`

/**
 * Writes a secret as Envoy reads it: message `Secret` with a `TlsCertificate` or a `CertificateValidationContext`, PEM
 * inside. With a key in it: never log it.
 *
 * @see envoy/extensions/transport_sockets/tls/v3/secret.proto, common.proto, tls_spiffe_validator_config.proto
 */
export function encodeSecret(name: string, content: SecretContent): Buffer {
  return writeMessage(writeBytes(1, name), encodeContent(content))
}

function encodeContent(content: SecretContent): Buffer {
  switch (content.kind) {
    case 'tls-certificate':
      return writeElement(
        2,
        writeMessage(
          writeElement(1, inline(certificates(content.certificates))),
          writeElement(2, inline(encodePem('PRIVATE KEY', content.privateKey))),
        ),
      )
    case 'trusted-ca':
      return writeElement(4, writeElement(1, inline(certificates(content.authorities))))
    case 'spiffe-validator':
      return writeElement(4, writeElement(12, spiffeValidator(content.trustDomains)))
  }
}

// A `TypedExtensionConfig` with a `SPIFFECertValidatorConfig`.
function spiffeValidator(trustDomains: readonly TrustDomainAuthorities[]): Buffer {
  const config = trustDomains.map(({ trustDomain, authorities }) =>
    writeElement(1, writeMessage(writeBytes(1, trustDomain), writeElement(2, inline(certificates(authorities))))),
  )
  const typed = anyMessage.encode({ typeUrl: SPIFFE_VALIDATOR_TYPE, value: writeMessage(config) })
  return writeMessage(writeBytes(1, SPIFFE_VALIDATOR), writeElement(2, typed))
}

// A `DataSource` with `inline_bytes`.
function inline(text: string): Buffer {
  return writeElement(2, text)
}

function certificates(list: readonly Uint8Array[]): string {
  return list.map((der) => encodePem('CERTIFICATE', der)).join('')
}
