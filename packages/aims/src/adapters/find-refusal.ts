import { AimsError } from '../base/errors.ts'
import { parseJson } from '../base/json.ts'
import { refusalIn } from '../base/refusal-answer.ts'

const MAX_PROBLEM = 16_384

/**
 * What a service protected by AIMS says when it refuses a request: its code, and an id with which its operator finds
 * the checks that were made and what to change (`aims explain ID`). A caller is told no more.
 *
 * The response can still be read. What it says is as good as the connection, or its signature.
 *
 * @returns The refusal, to be thrown or logged; `undefined` for every other response.
 */
export async function findRefusal(response: Response): Promise<AimsError | undefined> {
  const type = response.headers.get('content-type')?.split(';', 1)[0]
  if (response.status < 400 || type !== 'application/problem+json' || response.bodyUsed) return undefined
  const bytes = await startOf(response.clone())
  try {
    return bytes === undefined ? undefined : refusalIn(parseJson(bytes))
  } catch (error) {
    if (AimsError.is(error)) return undefined
    throw error
  }
}

// The other half of a clone may never be read, and then the end of this one is not waited for.
async function startOf({ body }: Response): Promise<Uint8Array | undefined> {
  const reader = body?.getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
    length += next.value.length
    if (length > MAX_PROBLEM) {
      reader?.cancel().catch(() => undefined)
      return undefined
    }
    chunks.push(next.value)
  }
  return Buffer.concat(chunks)
}
