import { createHash, type KeyObject } from 'node:crypto'
import { jwkThumbprint, type Signer } from '../../../base/keys.ts'
import { leftPad, parseTpmPublic } from '../../tpm/public-area.ts'
import { TpmReader } from '../../tpm/wire.ts'

/** A key that lives in a TPM and cannot leave it. It signs for tokens and proofs, each time with a command to the TPM. */
export class TpmSigner implements Signer {
  readonly alg = 'ES256' as const
  readonly kid: string
  readonly publicKey: KeyObject
  readonly #signDigest: (digest: Uint8Array) => Promise<Buffer>

  /** @param signDigest - TPM2_Sign with this key: a TPMT_SIGNATURE. */
  constructor(area: Uint8Array, signDigest: (digest: Uint8Array) => Promise<Buffer>) {
    this.publicKey = parseTpmPublic(area).publicKey
    this.kid = jwkThumbprint(this.publicKey)
    this.#signDigest = signDigest
  }

  /** ES256: r and s side by side. @throws {@link AimsError} `attestation.collection_failed` */
  async sign(data: Uint8Array): Promise<Uint8Array> {
    const signature = new TpmReader(await this.#signDigest(createHash('sha256').update(data).digest()))
    signature.take(4)
    return Buffer.concat([leftPad(signature.sized(32), 32), leftPad(signature.sized(32), 32)])
  }
}
