import { asBuffer } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { spkiBytes, type WorkloadKey } from '../../base/keys.ts'
import { withSecrets } from '../../base/secret.ts'
import type { SpiffeId } from '../../identifiers/spiffe-id.ts'
import { parseWorkloadSpiffeId } from '../../identifiers/spiffe-id.ts'
import { decodeUnverifiedX509Svid, requireCas } from './parse.ts'

/** An X.509-SVID as its holder has it: with its private key, which shows up in no log and no JSON. */
export interface X509Svid {
  readonly spiffeId: SpiffeId
  /** DER, leaf first, then intermediates. */
  readonly certificates: readonly Uint8Array[]
  /** Seconds since the epoch. */
  readonly notBefore: number
  /** Seconds since the epoch: the earliest end of any certificate here. */
  readonly expiresAt: number
  /** Operator's hint which identity this is; `''` when there is none. */
  readonly hint: string
  readonly key: WorkloadKey
}

/** Gives the current X.509-SVID; renewing it is the source's matter. */
export interface X509SvidSource {
  /** @throws {@link AimsError} when there is no valid X.509-SVID to give. */
  x509Svid(): X509Svid
}

/**
 * Makes a holder's X.509-SVID out of a chain and the key of its leaf.
 *
 * Reads the chain and checks that the key belongs to it. Does not verify it: it comes from the own issuer, over the own
 * channel.
 *
 * @throws {@link AimsError} `x509.key_mismatch`, `x509.not_a_ca`, `x509.uri_san_count`, `x509.invalid_identifier`, and all of
 * `decodeUnverifiedX509Svid`
 */
export function holdX509Svid(svid: {
  readonly certificates: readonly Uint8Array[] | Uint8Array
  readonly key: WorkloadKey
  readonly hint?: string
}): X509Svid {
  const { leaf, intermediates } = decodeUnverifiedX509Svid(svid.certificates)
  const [uri, ...others] = leaf.altNames.uris
  if (uri === undefined || others.length > 0) throw new AimsError('x509.uri_san_count', 'not exactly one URI SAN')
  const spiffeId = refuseAs('x509.invalid_identifier', 'the URI SAN is not the SPIFFE ID of a workload', () =>
    parseWorkloadSpiffeId(uri),
  )
  if (!asBuffer(leaf.spkiDer).equals(spkiBytes(svid.key.publicKey))) {
    throw new AimsError('x509.key_mismatch', 'the private key is not the one of the leaf')
  }
  requireCas(intermediates)
  const chain = [leaf, ...intermediates]
  return withSecrets(
    {
      spiffeId,
      certificates: withBase64Json(chain.map(({ raw }) => raw)),
      notBefore: leaf.notBefore,
      expiresAt: Math.min(...chain.map(({ notAfter }) => notAfter)),
      hint: svid.hint ?? '',
    },
    { key: svid.key },
  )
}

// In JSON a certificate is base64, as in `x5c`, and not an object with a member for each byte.
function withBase64Json(certificates: readonly Uint8Array[]): readonly Uint8Array[] {
  const toJSON = (): readonly string[] => certificates.map((der) => asBuffer(der).toString('base64'))
  return Object.defineProperty([...certificates], 'toJSON', { value: toJSON })
}
