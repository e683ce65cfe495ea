import { isAscii } from 'node:buffer'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { type BareItem, type InnerList, type Parameters, parseDictionary } from '../../base/structured-fields.ts'
import { serializeMember } from '../../base/structured-fields-writer.ts'
import type { RawHeaders } from '../carriage.ts'
import { type Component, componentOf, componentValue } from './components.ts'
import { fieldText } from './fields.ts'
import type { Message } from './message.ts'
import { readUsualForm } from './usual-form.ts'

/** One signature of a message, taken apart and NOT verified. */
export interface UnverifiedSignature {
  /** Joins `Signature-Input` and `Signature`. It means nothing else: signatures are chosen by `tag` or by key. */
  readonly label: string
  readonly components: readonly Component[]
  /** `created`, `expires`, `nonce`, `alg`, `keyid`, `tag` and others, in the order of the wire. */
  readonly parameters: Parameters
  /** The value of `@signature-params`. */
  readonly input: string
  /** Absent where the field `Signature` has nothing under this label. */
  readonly signature?: Uint8Array
}

const MAX_SIGNATURES = 16
const MAX_COMPONENTS = 64
const MAX_LENGTH = 8192

/**
 * Reads all signatures of a message, whoever made them. A component that cannot be computed here is no reason to refuse
 * a signature that nobody asks for.
 *
 * Does not verify anything.
 *
 * @throws {@link AimsError} `signature.malformed`, `signature.too_large`
 * @see RFC 9421 section 4
 */
export function readSignatures(headers: RawHeaders): readonly UnverifiedSignature[] {
  const inputField = fieldOf(headers, 'signature-input')
  const signatureField = fieldOf(headers, 'signature')
  const usual = readUsualForm(inputField, signatureField)
  return usual === undefined ? readDictionaries(inputField, signatureField) : [usual]
}

/** The fields as the structured fields that they are, whatever their form. For tests, beside {@link readSignatures}. */
export function readDictionaries(inputField: string, signatureField: string): readonly UnverifiedSignature[] {
  const inputs = dictionaryOf(inputField)
  const signatures = dictionaryOf(signatureField)
  if (inputs.size > MAX_SIGNATURES) throw new AimsError('signature.too_large', `more than ${MAX_SIGNATURES} signatures`)
  return Array.from(inputs, ([label, member]) => {
    if (member.kind !== 'inner-list')
      throw new AimsError('signature.malformed', 'Signature-Input is not a list of components')
    const made = signatures.get(label)
    if (made !== undefined && (made.kind !== 'item' || made.value.type !== 'bytes')) {
      throw new AimsError('signature.malformed', 'Signature is not a byte sequence')
    }
    const bytes = made?.kind === 'item' && made.value.type === 'bytes' ? { signature: made.value.value } : {}
    return { label, ...readInput(member), ...bytes }
  })
}

function fieldOf(headers: RawHeaders, field: string): string {
  const text = fieldText(headers, field) ?? ''
  if (text.length > MAX_LENGTH)
    throw new AimsError('signature.too_large', `${field} has more than ${MAX_LENGTH} characters`)
  return text
}

function dictionaryOf(text: string): ReturnType<typeof parseDictionary> {
  return refuseAs('signature.malformed', 'Signature or Signature-Input is not a strict dictionary', () =>
    parseDictionary(text, { unique: true }),
  )
}

function readInput(list: InnerList): Pick<UnverifiedSignature, 'components' | 'parameters' | 'input'> {
  if (list.items.length > MAX_COMPONENTS) {
    throw new AimsError('signature.too_large', `a signature covers more than ${MAX_COMPONENTS} components`)
  }
  return { components: list.items.map(componentOf), parameters: list.parameters, input: serializeMember(list) }
}

/** The value of `@signature-params` for these components and parameters. */
export function signatureInput(components: readonly Component[], parameters: Parameters): string {
  const items = components.map(({ name, parameters: own }) => {
    return { kind: 'item', value: { type: 'string', value: name }, parameters: own } as const
  })
  return serializeMember({ kind: 'inner-list', items, parameters })
}

/**
 * The text that a signature is made over.
 *
 * @throws {@link AimsError} `signature.invalid_component` also for a component that is covered twice, and for
 *   `@signature-params`; `signature.missing_component`
 * @see RFC 9421 section 2.5
 */
export function signatureBase(components: readonly Component[], input: string, message: Message): string {
  return signatureBytes(components, input, message).toString('latin1')
}

/** {@link signatureBase} as the bytes that are signed. */
export function signatureBytes(components: readonly Component[], input: string, message: Message): Buffer {
  let base = ''
  const seen: string[] = []
  for (const covered of components) {
    const key = covered.parameters.size === 0 ? covered.identifier : sortedIdentifier(covered)
    if (seen.includes(key)) throw new AimsError('signature.invalid_component', 'a component is covered twice')
    seen.push(key)
    base += `${covered.identifier}: ${componentValue(covered, message)}\n`
  }
  // Not as Latin-1, which would make ASCII of letters that are none.
  const bytes = Buffer.from(`${base}"@signature-params": ${input}`, 'utf8')
  if (!isAscii(bytes)) {
    throw new AimsError('signature.invalid_component', 'a covered component is not ASCII')
  }
  return bytes
}

// The order of parameters makes another identifier, and not another component.
function sortedIdentifier({ name, parameters }: Component): string {
  return JSON.stringify([name, ...[...parameters].map(([key, { value }]) => [key, String(value)]).sort()])
}

/** A parameter that must be an integer, when it is there. @throws {@link AimsError} `signature.invalid_parameter` */
export function integerParameter({ parameters }: UnverifiedSignature, name: string): number | undefined {
  const found = parameters.get(name)
  if (found === undefined) return undefined
  return found.type === 'integer' ? found.value : wrongType(name)
}

/** A parameter that must be a string, when it is there. @throws {@link AimsError} `signature.invalid_parameter` */
export function stringParameter({ parameters }: UnverifiedSignature, name: string): string | undefined {
  const found = parameters.get(name)
  if (found === undefined) return undefined
  return found.type === 'string' ? found.value : wrongType(name)
}

/** A parameter that must be a boolean; absent is false. @throws {@link AimsError} `signature.invalid_parameter` */
export function booleanParameter({ parameters }: UnverifiedSignature, name: string): boolean {
  const found = parameters.get(name)
  if (found === undefined) return false
  return found.type === 'boolean' ? found.value : wrongType(name)
}

function wrongType(name: string): never {
  throw new AimsError('signature.invalid_parameter', `${name} has the wrong type`)
}

/** Parameters by name: numbers are integers, text is a string. `undefined` members are left out. */
export function toParameters(given: { readonly [name: string]: number | string | true | undefined }): Parameters {
  const parameters = new Map<string, BareItem>()
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue
    parameters.set(
      name,
      typeof value === 'number'
        ? { type: 'integer', value }
        : value === true
          ? { type: 'boolean', value }
          : { type: 'string', value },
    )
  }
  return parameters
}
