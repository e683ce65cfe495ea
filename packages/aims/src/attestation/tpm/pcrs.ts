import { createHash } from 'node:crypto'
import { AimsError } from '../../base/errors.ts'
import { HASH_ID, HASH_SIZE, type TpmHash, tpmHash } from './algorithms.ts'
import { malformed, type TpmReader, u16, u32 } from './wire.ts'

/** PCRs of one bank, ascending. */
export interface PcrSelection {
  readonly bank: TpmHash
  readonly indices: readonly number[]
}

/** Values by `bank:index`, e.g. `sha256:7`. */
export type PcrValues = ReadonlyMap<string, Uint8Array>

const MAX_BANKS = 4

/** TPML_PCR_SELECTION. @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported` */
export function readSelection(input: TpmReader): readonly PcrSelection[] {
  const count = input.u32()
  if (count > MAX_BANKS) throw malformed('a quote has too many banks')
  const selection: PcrSelection[] = []
  for (let i = 0; i < count; i += 1) {
    const bank = tpmHash(input.u16())
    const bitmap = input.take(input.u8())
    if (bitmap.length > 4) throw malformed('a bitmap of PCRs is too long')
    if (selection.some((one) => one.bank === bank)) throw malformed('a bank is selected twice')
    const indices = [...Array(bitmap.length * 8).keys()].filter((n) => ((bitmap[n >> 3] as number) >> (n & 7)) & 1)
    selection.push({ bank, indices })
  }
  return selection
}

/** The same for a TPM. */
export function writeSelection(selection: readonly PcrSelection[]): Buffer {
  const banks = selection.map(({ bank, indices }) => {
    const bitmap = Buffer.alloc(3)
    for (const index of indices) bitmap[index >> 3] = (bitmap[index >> 3] as number) | (1 << (index & 7))
    return Buffer.concat([u16(HASH_ID[bank]), Buffer.of(bitmap.length), bitmap])
  })
  return Buffer.concat([u32(selection.length), ...banks])
}

const SELECTION = /^(sha1|sha256|sha384|sha512):(\d{1,2}(?:,\d{1,2})*)$/

/**
 * Reads a selection as the TPM tools write it, e.g. `sha256:0,1,2,7` or `sha1:0+sha256:0`. `undefined` for another form:
 * PCRs are 0 to 23, ascending, and each bank occurs once.
 */
export function parseSelection(text: string): readonly PcrSelection[] | undefined {
  const selection: PcrSelection[] = []
  for (const part of text.split('+')) {
    const match = SELECTION.exec(part)
    const indices = match?.[2]?.split(',').map(Number) ?? []
    const isAscending = indices.every((index, i) => index < 24 && (i === 0 || index > (indices[i - 1] as number)))
    const bank = match?.[1] as TpmHash
    if (match === null || !isAscending || selection.some((one) => one.bank === bank)) return undefined
    selection.push({ bank, indices })
  }
  return selection
}

/** The same as text. */
export function formatSelection(selection: readonly PcrSelection[]): string {
  return selection.map(({ bank, indices }) => `${bank}:${indices.join(',')}`).join('+')
}

/** `sha256:7` for every PCR of a selection, in its order. */
export function selectedPcrs(selection: readonly PcrSelection[]): readonly string[] {
  return selection.flatMap(({ bank, indices }) => indices.map((index) => `${bank}:${index}`))
}

/**
 * Checks that the values given are those of the quote: exactly the PCRs that were quoted, and their digest.
 *
 * @param hash - The hash of the signature, which is not that of the bank.
 * @throws {@link AimsError} `attestation.inconsistent`
 * @see TPM 2.0 Library, Part 3, section 18.4 (TPM2_Quote)
 */
export function checkQuotedValues(
  values: PcrValues,
  quote: { readonly selection: readonly PcrSelection[]; readonly pcrDigest: Uint8Array },
  hash: TpmHash,
): void {
  const names = selectedPcrs(quote.selection)
  const digest = createHash(hash)
  for (const name of names) {
    const value = values.get(name)
    const size = HASH_SIZE[name.slice(0, name.indexOf(':')) as TpmHash]
    if (value?.length !== size) throw inconsistent('a quoted PCR has no value')
    digest.update(value)
  }
  if (values.size !== names.length) throw inconsistent('a value is of a PCR that was not quoted')
  if (!digest.digest().equals(quote.pcrDigest)) throw inconsistent('the values of the PCRs are not those of the quote')
}

function inconsistent(message: string): AimsError {
  return new AimsError('attestation.inconsistent', message)
}
