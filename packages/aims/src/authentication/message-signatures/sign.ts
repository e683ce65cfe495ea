import type { LocalSigner, Signer } from '../../base/keys.ts'
import type { Parameters } from '../../base/structured-fields.ts'
import type { Component } from './components.ts'
import type { Message } from './message.ts'
import { signatureBytes, signatureInput } from './signature.ts'

/** What to sign, and what to say about it. */
export interface SigningOptions {
  /** Joins the two fields; another in each message of several signatures. */
  readonly label: string
  readonly components: readonly Component[]
  /** In the order they are written; see `toParameters`. */
  readonly parameters: Parameters
}

/** The two fields of a signature, with this one alone: join them with others as members of a dictionary. */
export interface SignatureFields {
  readonly 'signature-input': string
  readonly signature: string
}

/**
 * Signs components of a message.
 *
 * @throws {@link AimsError} `signature.invalid_component`, `signature.missing_component`
 * @throws TypeError for a label or a parameter that has no form on the wire
 * @see RFC 9421 section 3.1
 */
export async function signMessage(message: Message, signer: Signer, options: SigningOptions): Promise<SignatureFields> {
  const { base, input } = prepare(message, options)
  return fieldsOf(options.label, input, await signer.sign(base))
}

/** {@link signMessage} with a key of this process. */
export function signMessageLocally(message: Message, signer: LocalSigner, options: SigningOptions): SignatureFields {
  const { base, input } = prepare(message, options)
  return fieldsOf(options.label, input, signer.sign(base))
}

const LABEL = /^[a-z*][a-z0-9_\-.*]*$/

function prepare(
  message: Message,
  { label, components, parameters }: SigningOptions,
): { readonly base: Uint8Array; readonly input: string } {
  if (!LABEL.test(label)) throw new TypeError('a label is the key of a dictionary: lower-case')
  const input = signatureInput(components, parameters)
  return { base: signatureBytes(components, input, message), input }
}

function fieldsOf(label: string, input: string, signature: Uint8Array): SignatureFields {
  return {
    'signature-input': `${label}=${input}`,
    signature: `${label}=:${Buffer.from(signature).toString('base64')}:`,
  }
}
