import type { BareItem, Dictionary, Item, List, Member, Parameters } from './structured-fields.ts'

/** Writes a dictionary; `''` for an empty one, which is not sent. @throws TypeError for what has no form on the wire */
export function serializeDictionary(members: Dictionary): string {
  return Array.from(members, ([key, member]) => {
    const isTrue = member.kind === 'item' && member.value.type === 'boolean' && member.value.value
    return isTrue
      ? `${checkedKey(key)}${serializeParameters(member.parameters)}`
      : `${checkedKey(key)}=${serializeMember(member)}`
  }).join(', ')
}

/** Writes a list; `''` for an empty one, which is not sent. @throws TypeError for what has no form on the wire */
export function serializeList(members: List): string {
  return members.map(serializeMember).join(', ')
}

/** Writes an item or an inner list. @throws TypeError for what has no form on the wire @see RFC 9651 section 4.1 */
export function serializeMember(member: Member): string {
  return member.kind === 'item'
    ? serializeItem(member)
    : `(${member.items.map(serializeItem).join(' ')})${serializeParameters(member.parameters)}`
}

/** Writes an item. @throws TypeError for what has no form on the wire @see RFC 9651 section 4.1.3 */
export function serializeItem({ value, parameters }: Item): string {
  return `${serializeBareItem(value)}${serializeParameters(parameters)}`
}

function serializeParameters(parameters: Parameters): string {
  let text = ''
  for (const [key, value] of parameters) {
    const isTrue = value.type === 'boolean' && value.value
    text += isTrue ? `;${checkedKey(key)}` : `;${checkedKey(key)}=${serializeBareItem(value)}`
  }
  return text
}

const WHOLE_KEY = /^[a-z*][a-z0-9_\-.*]*$/
const WHOLE_TOKEN = /^[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*$/
const WHOLE_STRING = /^[\x20-\x7e]*$/
const MAX_INTEGER = 999_999_999_999_999

function checkedKey(key: string): string {
  return WHOLE_KEY.test(key) ? key : unwritable('a key')
}

function serializeBareItem(item: BareItem): string {
  switch (item.type) {
    case 'integer':
      return serializeInteger(item.value)
    case 'date':
      return `@${serializeInteger(item.value)}`
    case 'decimal':
      return serializeDecimal(item.value)
    case 'string':
      return WHOLE_STRING.test(item.value) ? `"${item.value.replace(/["\\]/g, '\\$&')}"` : unwritable('a string')
    case 'token':
      return WHOLE_TOKEN.test(item.value) ? item.value : unwritable('a token')
    case 'bytes':
      return `:${Buffer.from(item.value).toString('base64')}:`
    case 'boolean':
      return item.value ? '?1' : '?0'
    case 'display-string':
      return serializeDisplayString(item.value)
  }
}

function serializeInteger(value: number): string {
  return Number.isInteger(value) && Math.abs(value) <= MAX_INTEGER ? String(value + 0) : unwritable('an integer')
}

// Three places, half to even: what is exactly in the middle in decimal is so in binary only for multiples of 1/16.
function serializeDecimal(value: number): string {
  const thousandths = Math.abs(value) * 1000
  const floor = Math.floor(thousandths)
  const isTie = thousandths - floor === 0.5
  const rounded = isTie ? floor + (floor % 2) : Math.round(thousandths)
  if (!(rounded <= MAX_INTEGER)) return unwritable('a decimal')
  const whole = Math.floor(rounded / 1000)
  const fraction = String(rounded % 1000)
    .padStart(3, '0')
    .replace(/0{1,2}$/, '')
  return `${value < 0 && rounded > 0 ? '-' : ''}${whole}.${fraction}`
}

function serializeDisplayString(value: string): string {
  if (!value.isWellFormed()) return unwritable('a display string')
  const text = Array.from(Buffer.from(value, 'utf8'), (byte) => {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x22 && byte !== 0x25
    return isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, '0')}`
  })
  return `%"${text.join('')}"`
}

function unwritable(what: string): never {
  throw new TypeError(`${what} that a structured field cannot carry`)
}
