import { AimsError } from '../../base/errors.ts'
import type { RawHeaders } from '../carriage.ts'
import { readSignatures, type UnverifiedSignature } from '../message-signatures/signature.ts'
import { SIGNATURE_TAG } from './shapes.ts'

/**
 * Finds the signature that WIMSE means by its tag, never by its label; those of others do not matter.
 *
 * Does not verify anything.
 *
 * @returns `undefined` when no signature has the tag.
 * @throws {@link AimsError} `signature.ambiguous`, `signature.malformed`, `signature.too_large`
 */
export function selectSignature(headers: RawHeaders): UnverifiedSignature | undefined {
  // The tag has one spelling. Where it does not occur, nobody's field needs to be understood.
  if (!mentionsTag(headers)) return undefined
  const [found, ...others] = readSignatures(headers).filter(({ parameters }) => {
    const tag = parameters.get('tag')
    return tag?.type === 'string' && tag.value === SIGNATURE_TAG
  })
  if (others.length > 0) throw new AimsError('signature.ambiguous', 'more than one signature has the tag of WIMSE')
  return found
}

const INPUT = 'signature-input'

function mentionsTag(headers: RawHeaders): boolean {
  for (const [name, value] of headers) {
    if (name.length === INPUT.length && name.toLowerCase() === INPUT && value.includes(SIGNATURE_TAG)) return true
  }
  return false
}
