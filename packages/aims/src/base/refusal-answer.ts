import { ERROR_CODES } from './error-codes/index.ts'
import { AimsError, type AimsErrorCode } from './errors.ts'
import { isJsonObject, type JsonValue } from './json.ts'

/**
 * The refusal in a problem document of an AIMS server or service, with what its operator needs to find out more.
 * `undefined` for a document without a code that this version knows.
 */
export function refusalIn(document: JsonValue): AimsError | undefined {
  const { code, detail, id } = isJsonObject(document) ? document : {}
  if (typeof code !== 'string' || !isCode(code)) return undefined
  const text = typeof detail === 'string' ? detail : ERROR_CODES[code]
  return new AimsError(code, isId(id) ? `${text} (id ${id}: ask the operator for aims explain ${id})` : text)
}

function isCode(code: string): code is AimsErrorCode {
  return Object.hasOwn(ERROR_CODES, code)
}

// It goes into a message, and into a command line.
function isId(id: JsonValue | undefined): id is string {
  return typeof id === 'string' && /^\w[\w-]{0,127}$/.test(id)
}
