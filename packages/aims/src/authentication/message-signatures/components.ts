import { AimsError } from '../../base/errors.ts'
import { type BareItem, type Item, NO_PARAMETERS, type Parameters } from '../../base/structured-fields.ts'
import { serializeItem } from '../../base/structured-fields-writer.ts'
import { derivedValue } from './derived.ts'
import { fieldValue } from './fields.ts'
import { isRequest, type Message } from './message.ts'
import { invalid, missing } from './refuse.ts'

/** One covered component of a message: a field by its lower-case name, or a derived one such as `@method`. */
export interface Component {
  readonly name: string
  readonly parameters: Parameters
  /** As it stands in the signature base, e.g. `"content-digest";req`. Two components are the same when these are. */
  readonly identifier: string
}

/**
 * Names a component: `component('@method')`, `component('content-type', { req: true })`, `component('@query-param', { name: 'id' })`.
 *
 * @throws TypeError for a name that is not lower-case, and for parameters RFC 9421 does not define
 */
export function component(name: string, parameters: { readonly [parameter: string]: true | string } = {}): Component {
  if (!NAME.test(name)) throw new TypeError('a component has a lower-case name')
  const given = Object.entries(parameters).map(([key, value]): [string, BareItem] => {
    if (!Object.hasOwn(PARAMETERS, key)) throw new TypeError('a parameter that RFC 9421 does not define')
    return [key, value === true ? { type: 'boolean', value } : { type: 'string', value }]
  })
  return componentOf({ kind: 'item', value: { type: 'string', value: name }, parameters: new Map(given) })
}

/** A component as a signature names it. Nothing is judged yet. @throws {@link AimsError} `signature.malformed` */
export function componentOf(item: Item): Component {
  const { value, parameters } = item
  if (value.type !== 'string') throw new AimsError('signature.malformed', 'a covered component is not a string')
  const plain = parameters.size === 0
  return plain
    ? { name: value.value, parameters: NO_PARAMETERS, identifier: plainIdentifier(value.value) }
    : { name: value.value, parameters, identifier: serializeItem(item) }
}

function plainIdentifier(name: string): string {
  return NAME.test(name)
    ? `"${name}"`
    : serializeItem({ kind: 'item', value: { type: 'string', value: name }, parameters: NO_PARAMETERS })
}

// Field names are tokens in lower case; derived components start with an at sign.
const NAME = /^@?[!#$%&'*+.^_`|~0-9a-z-]+$/

/** The parameters of RFC 9421 section 6.5.2, and the type of their values. */
const PARAMETERS: { readonly [name: string]: 'boolean' | 'string' } = {
  sf: 'boolean',
  key: 'string',
  bs: 'boolean',
  tr: 'boolean',
  req: 'boolean',
  name: 'string',
}

/**
 * The value of a component in this message: the right side of its line in the signature base.
 *
 * @throws {@link AimsError} `signature.invalid_component` for one that is not defined, or not in this kind of message;
 *   `signature.missing_component` for one that this message does not have
 * @see RFC 9421 section 2
 */
export function componentValue(covered: Component, message: Message): string {
  const { parameters } = covered
  if (parameters.size === 0) return valueIn(covered, message)
  for (const [key, { type, value }] of parameters) {
    const expected = Object.hasOwn(PARAMETERS, key) ? PARAMETERS[key] : undefined
    if (expected !== type || value === false) invalid('it has a parameter that is not defined')
  }
  if (!parameters.has('req')) return valueIn(covered, message)
  if (isRequest(message)) invalid('req is for responses')
  if (message.request === undefined) missing('the request of the response is not known')
  return valueIn(covered, message.request)
}

function valueIn({ name, parameters }: Component, message: Message): string {
  const value = name.startsWith('@') ? derivedValue(name, parameters, message) : fieldValue(name, parameters, message)
  // A line that holds another line would cover what nobody signed.
  if (value.includes('\n') || value.includes('\r')) invalid('its value has a line end')
  return value
}
