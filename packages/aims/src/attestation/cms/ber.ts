import { TAG } from '../../base/der.ts'
import { DerWriter } from '../../base/der-writer.ts'
import { AimsError } from '../../base/errors.ts'

const MAX_DEPTH = 16
const MAX_ELEMENTS = 2_000
const END_OF_CONTENTS = 0x00
const CONSTRUCTED = 0x20
const CONSTRUCTED_OCTETS = TAG.octetString | CONSTRUCTED

/**
 * Rewrites BER, as signers that stream write it, into DER: indefinite lengths become definite, and OCTET STRINGs in
 * pieces become whole. Everything else must be DER already; a signature over an inner element still fits it.
 *
 * @throws {@link AimsError} `der.malformed`, `der.too_deep`, `der.too_large`
 * @see X.690 sections 8.1.3.6, 8.1.5, 8.7.3
 */
export function berToDer(bytes: Uint8Array): Uint8Array {
  const rewriter = new Rewriter(bytes)
  const der = rewriter.element(bytes.length, 0)
  rewriter.finish()
  return der
}

class Rewriter {
  readonly #bytes: Uint8Array
  #at = 0
  #elementsLeft = MAX_ELEMENTS

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  finish(): void {
    if (this.#at !== this.#bytes.length) throw malformed('bytes are left over')
  }

  element(end: number, depth: number): Uint8Array {
    if (depth > MAX_DEPTH) throw new AimsError('der.too_deep', `BER nested deeper than ${MAX_DEPTH}`)
    this.#elementsLeft -= 1
    if (this.#elementsLeft < 0) throw new AimsError('der.too_large', `BER of more than ${MAX_ELEMENTS} elements`)
    const start = this.#at
    const tag = this.#byte(end)
    if (tag === END_OF_CONTENTS || (tag & 0x1f) === 0x1f) throw malformed('an unexpected tag')
    const length = this.#length(end)
    if (length === undefined) {
      if ((tag & CONSTRUCTED) === 0) throw malformed('a primitive element has no length')
      return this.#joined(tag, this.#untilEndOfContents(end, depth))
    }
    const stop = this.#at + length
    if (stop > end) throw malformed('an element is longer than what holds it')
    if ((tag & CONSTRUCTED) === 0) {
      this.#at = stop
      return this.#bytes.subarray(start, stop)
    }
    const children: Uint8Array[] = []
    while (this.#at < stop) children.push(this.element(stop, depth + 1))
    return this.#joined(tag, children)
  }

  #untilEndOfContents(end: number, depth: number): readonly Uint8Array[] {
    const children: Uint8Array[] = []
    while (this.#bytes[this.#at] !== END_OF_CONTENTS || this.#at >= end) children.push(this.element(end, depth + 1))
    this.#at += 1
    if (this.#byte(end) !== 0) throw malformed('end-of-contents has content')
    return children
  }

  #joined(tag: number, children: readonly Uint8Array[]): Uint8Array {
    const isOctets = tag === CONSTRUCTED_OCTETS
    const parts = isOctets ? children.map(pieceOf) : children
    const writer = new DerWriter(parts.reduce((sum, { length }) => sum + length, 8))
    const mark = writer.begin()
    for (const part of parts.toReversed()) writer.raw(part)
    writer.wrap(isOctets ? TAG.octetString : tag, mark)
    return writer.view()
  }

  #byte(end: number): number {
    if (this.#at >= end) throw malformed('BER ends early')
    const byte = this.#bytes[this.#at] as number
    this.#at += 1
    return byte
  }

  // `undefined`: indefinite. Definite lengths must be minimal.
  #length(end: number): number | undefined {
    const first = this.#byte(end)
    if (first < 0x80) return first
    const count = first & 0x7f
    if (count === 0) return undefined
    if (count > 3) throw malformed('a length is too long')
    let length = 0
    for (let i = 0; i < count; i += 1) length = length * 256 + this.#byte(end)
    if (length < 0x80 || length < 2 ** (8 * (count - 1))) throw malformed('a length is not minimal')
    return length
  }
}

// The content of one piece, which has been checked above and is primitive.
function pieceOf(element: Uint8Array): Uint8Array {
  if (element[0] !== TAG.octetString) throw malformed('a piece of an OCTET STRING is none')
  const first = element[1] as number
  return element.subarray(first < 0x80 ? 2 : 2 + (first & 0x7f))
}

function malformed(message: string): AimsError {
  return new AimsError('der.malformed', message)
}
