import { sha256Base64url } from '../../base/bytes.ts'
import type { SpiffeId } from '../../identifiers/spiffe-id.ts'

/** What a server below another one has a key taken for: its CA, or the tokens that it signs. */
export interface DownstreamProofPurpose {
  readonly server: SpiffeId
  /** Serial number of the X.509-SVID that is shown with the request, lower-case hex. */
  readonly serialNumber: string
  readonly purpose: 'x509-ca' | 'jwt' | 'wit'
}

/**
 * The nonce of the proof (`signKeyProof`) that goes with every key which a downstream server has certified or published. The proof is
 * worth nothing to another server, for another purpose, or with the next SVID.
 */
export function downstreamProofNonce({ server, serialNumber, purpose }: DownstreamProofPurpose): string {
  return sha256Base64url(JSON.stringify(['AIMS-DOWNSTREAM-PROOF-v1', server, serialNumber, purpose]))
}
