import { AimsError } from '../../base/errors.ts'
import { type PcrSelection, readSelection } from './pcrs.ts'
import { malformed, TpmReader } from './wire.ts'

/** Where a TPM stands in time. It may not go back: see {@link checkTpmProgress}. */
export interface TpmClock {
  /** Milliseconds the TPM has been powered, ever. */
  readonly clock: bigint
  /** Power cycles. */
  readonly resetCount: number
  /** Resumptions since the last power cycle. */
  readonly restartCount: number
  /** False: power was lost at a bad moment, and `clock` may repeat values. */
  readonly isSafe: boolean
}

/** TPMS_ATTEST: what a TPM signs. Read, and NOT verified. */
export type TpmAttest = TpmAttestHeader &
  (
    | { readonly type: 'quote'; readonly selection: readonly PcrSelection[]; readonly pcrDigest: Buffer }
    | { readonly type: 'certify'; readonly name: Buffer; readonly qualifiedName: Buffer }
  )

export interface TpmAttestHeader {
  readonly qualifiedSigner: Buffer
  /** What the caller asked to have signed: at most 64 bytes. */
  readonly extraData: Buffer
  readonly clock: TpmClock
  readonly firmwareVersion: bigint
}

const MAGIC = 0xff54_4347
const QUOTE = 0x8018
const CERTIFY = 0x8017
const MAX_ATTEST = 2048

/**
 * Reads a TPMS_ATTEST of a quote or of a certified key.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported` for other kinds of statements
 * @see TPM 2.0 Library, Part 2, section 10.12.12
 */
export function parseTpmAttest(bytes: Uint8Array): TpmAttest {
  if (bytes.length > MAX_ATTEST) throw malformed('a TPM statement is too long')
  const input = new TpmReader(bytes)
  // Invariant: no restricted key signs foreign data that begin with this.
  if (input.u32() !== MAGIC) throw malformed('not a statement that a TPM made')
  const type = input.u16()
  const header = {
    qualifiedSigner: input.sized(66),
    extraData: input.sized(64),
    clock: readClock(input),
    firmwareVersion: input.u64(),
  }
  const attest: TpmAttest | undefined =
    type === QUOTE
      ? { ...header, type: 'quote', selection: readSelection(input), pcrDigest: input.sized(64) }
      : type === CERTIFY
        ? { ...header, type: 'certify', name: input.sized(66), qualifiedName: input.sized(66) }
        : undefined
  if (attest === undefined) throw new AimsError('attestation.unsupported', 'neither a quote nor a certified key')
  input.end()
  return attest
}

function readClock(input: TpmReader): TpmClock {
  const clock = input.u64()
  const resetCount = input.u32()
  const restartCount = input.u32()
  const safe = input.u8()
  if (safe > 1) throw malformed('not a truth value')
  return { clock, resetCount, restartCount, isSafe: safe === 1 }
}
