/** Something that no answer may show, and how much of it in a row is too much. */
export interface Hidden {
  readonly bytes: Buffer
  /** Characters in a row, in any of its forms. */
  readonly window: number
}

/** Characters of a key in a row: 12 bytes of it in base64. */
export const KEY_WINDOW = 16
/** Of the claims of a token: who they are about is no secret, and other tokens have it, too. */
const CLAIMS_WINDOW = 64
const MIN_PART = 24

/** A key, password or other secret. At least {@link KEY_WINDOW} bytes. */
export function hiddenKey(value: Uint8Array): Hidden {
  return { bytes: Buffer.from(value), window: KEY_WINDOW }
}

/**
 * A compact token: its signature, and its claims as a whole. The header is the same in tokens of others.
 */
export function hiddenToken(token: string): readonly Hidden[] {
  const [, claims = '', ...signature] = token.split('.')
  return [{ text: claims, window: CLAIMS_WINDOW }, ...signature.map((text) => ({ text, window: KEY_WINDOW }))]
    .filter(({ text, window }) => text.length >= Math.max(MIN_PART, window))
    .map(({ text, window }) => ({ bytes: Buffer.from(text, 'latin1'), window }))
}

/**
 * How bytes look in text that others make of them: as they are, backwards, in base64 at each of the three places that a
 * byte can have in it (standard and URL alphabet), in hexadecimal, and with two bytes a character (UTF-16). Escapes of single characters are undone before
 * forms are looked for.
 */
export function formsOf(bytes: Buffer): readonly Buffer[] {
  const base64 = [0, 1, 2].flatMap((skip) => {
    // Without the characters at both ends that also depend on the neighbours.
    const whole = bytes.subarray(skip, skip + Math.floor((bytes.length - skip) / 3) * 3)
    return [whole.toString('base64'), whole.toString('base64url')]
  })
  const hex = bytes.toString('hex')
  const texts = [...new Set([...base64, hex, hex.toUpperCase()])]
  const wide = Buffer.from(bytes.toString('latin1'), 'utf16le')
  const forms = texts.map((text) => Buffer.from(text, 'latin1'))
  return [bytes, Buffer.from(bytes).reverse(), ...forms, wide, Buffer.from(wide).swap16()]
}
