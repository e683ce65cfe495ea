import { readFileSync, statSync } from 'node:fs'
import { AimsError, parsePem } from 'aims/base'

const LABEL = 'X509 CRL'

/**
 * The CRLs of a file: PEM blocks, at most 1 MiB together, or a single one as DER. The file is read again when it was changed.
 *
 * @returns A function that throws {@link AimsError} `attestation.collateral_missing` and `.collateral_malformed`.
 */
export function revocationListFile(path: string): () => readonly Uint8Array[] {
  let known: readonly Uint8Array[] = []
  let knownAs = ''
  return () => {
    try {
      const { mtimeNs, ino, size } = statSync(path, { bigint: true })
      const name = `${mtimeNs} ${ino} ${size}`
      if (name === knownAs) return known
      known = read(readFileSync(path))
      knownAs = name
      return known
    } catch (cause) {
      if (AimsError.is(cause)) throw cause
      throw new AimsError('attestation.collateral_missing', `${path}: the file of revocation lists cannot be read`, {
        cause,
      })
    }
  }
}

function read(bytes: Buffer): readonly Uint8Array[] {
  // DER begins with the tag of a SEQUENCE, which PEM does not.
  if (bytes[0] === 0x30) return [bytes]
  const blocks = refuse(() => parsePem(bytes.toString('latin1')))
  if (blocks.some(({ label }) => label !== LABEL)) throw malformed()
  return blocks.map((block) => block.bytes)
}

function refuse<T>(parse: () => T): T {
  try {
    return parse()
  } catch (cause) {
    throw malformed(cause)
  }
}

function malformed(cause?: unknown): AimsError {
  return new AimsError('attestation.collateral_malformed', `the file of revocation lists has blocks of ${LABEL} only`, {
    cause,
  })
}
