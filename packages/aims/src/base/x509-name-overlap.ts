import { asBuffer } from './bytes.ts'
import { DerReader, TAG } from './der.ts'
import { rdnsOf } from './x509-names.ts'

/**
 * True unless a directory name is certainly not within an excluded subtree.
 *
 * Names that are permitted are compared byte for byte, which errs on the safe side. Here the other side is the safe one:
 * RFC 5280 holds `CN=Evil` and `CN= evil` in another string type for one name, so case, blanks and string types do not
 * tell names apart, and text beyond ASCII, whose preparation is not done here, never does.
 *
 * @see RFC 5280 sections 4.2.1.10 and 7.1
 */
export function mayBeWithin(name: Uint8Array, subtree: Uint8Array): boolean {
  const rdns = rdnsOf(name)
  return rdnsOf(subtree).every((excluded, i) => {
    const rdn = rdns[i]
    return rdn !== undefined && mayBeEqual(rdn, excluded)
  })
}

function mayBeEqual(rdn: Uint8Array, excluded: Uint8Array): boolean {
  const attributes = attributesOf(rdn)
  return attributesOf(excluded).every(({ type, text }) =>
    attributes.some((one) => one.type === type && (one.text === text || one.text === undefined || text === undefined)),
  )
}

interface Attribute {
  /** OID, hex. */
  readonly type: string
  /** Folded; `undefined` for what cannot be compared. */
  readonly text: string | undefined
}

function attributesOf(rdn: Uint8Array): readonly Attribute[] {
  const set = DerReader.of(rdn).enter(TAG.set)
  const attributes: Attribute[] = []
  while (!set.isAtEnd) {
    const attribute = set.enter(TAG.sequence)
    const type = asBuffer(attribute.content(TAG.oid)).toString('hex')
    const tag = attribute.nextTag
    attributes.push({ type, text: ASCII_STRINGS.has(tag) ? fold(attribute.content(tag)) : undefined })
  }
  return attributes
}

/** UTF8String, NumericString, PrintableString, TeletexString, IA5String, VisibleString: ASCII is the same in each. */
const ASCII_STRINGS: ReadonlySet<number> = new Set([TAG.utf8String, 0x12, 0x13, 0x14, 0x16, 0x1a])

function fold(bytes: Uint8Array): string | undefined {
  if (bytes.some((byte) => byte > 0x7e || byte < 0x20)) return undefined
  const words = asBuffer(bytes).toString('latin1').toLowerCase().split(' ')
  return words.filter((word) => word !== '').join(' ')
}
