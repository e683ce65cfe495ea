import { Buffer } from 'node:buffer'
import type { KeyObject } from 'node:crypto'
import { verifyBytes } from '../base/algorithms.ts'
import { decodeBase64, sha256 } from '../base/bytes.ts'
import { AimsError } from '../base/errors.ts'
import { exportPublicJwk, importPublicJwk, type LocalSigner } from '../base/keys.ts'

/** A key that is trusted to sign notes, under a name such as `example.com/audit`. */
export interface VerifierKey {
  readonly name: string
  /** The first four bytes of a hash over name and key: it tells keys apart and proves nothing. */
  readonly id: number
  readonly key: KeyObject
}

/** A note that has been taken apart and NOT verified. Its text must not be used. */
export interface UnverifiedNote {
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

export interface NoteSignature {
  readonly name: string
  readonly id: number
  readonly signature: Uint8Array
}

/** A note with at least one valid signature of an expected key. Only {@link verifyNote} makes one. */
export interface VerifiedNote {
  readonly text: string
  /** The expected keys that have signed, each once. */
  readonly signers: readonly [VerifierKey, ...VerifierKey[]]
}

const ED25519 = 0x01
const MAX_NOTE_LENGTH = 262_144
const MAX_SIGNATURES = 100
const KEY_NAME = /^[^\p{White_Space}\p{Cc}+]+$/u
const SIGNATURE_LINE = /^\u2014 ([^\p{White_Space}\p{Cc}+]+) ([A-Za-z0-9+/=]+)$/u
// Every ASCII control character but the line feed.
const CONTROL = /[\0-\x09\x0b-\x1f]/

/**
 * Signs a text with an Ed25519 key and returns the note, e.g. `text\n\n— example.com/audit Az3grl...\n`.
 *
 * @param text - Ends with a line feed; has no other control characters.
 * @throws `TypeError` for a text, name or key that cannot make a note
 * @see C2SP signed-note v1.0.0
 */
export function signNote(text: string, name: string, signer: LocalSigner): string {
  if (!text.endsWith('\n') || CONTROL.test(text) || !text.isWellFormed()) throw new TypeError('not the text of a note')
  const id = Buffer.alloc(4)
  id.writeUInt32BE(keyId(name, rawPublicKey(signer.publicKey)))
  const signature = Buffer.concat([id, signer.sign(Buffer.from(text))])
  return `${text}\n\u2014 ${name} ${signature.toString('base64')}\n`
}

/**
 * Takes a note apart, strictly. Does not verify anything.
 *
 * @throws {@link AimsError} `audit.malformed_note`
 * @see C2SP signed-note v1.0.0, section "Format"
 */
export function parseUnverifiedNote(note: string): UnverifiedNote {
  const middle = note.lastIndexOf('\n\n')
  const wellFormed = note.length <= MAX_NOTE_LENGTH && note.isWellFormed() && !CONTROL.test(note) && note.endsWith('\n')
  if (!wellFormed || middle === -1) throw new AimsError('audit.malformed_note', 'not text, blank line, signatures')
  const lines = note.slice(middle + 2, -1).split('\n')
  if (lines.length > MAX_SIGNATURES) throw new AimsError('audit.malformed_note', 'too many signatures')
  return { text: note.slice(0, middle + 1), signatures: lines.map(parseSignature) }
}

function parseSignature(line: string): NoteSignature {
  const [, name, base64] = SIGNATURE_LINE.exec(line) ?? []
  const bytes = base64 === undefined ? undefined : decodeBase64(base64)
  if (name === undefined || bytes === undefined || bytes.length < 5) {
    throw new AimsError('audit.malformed_note', 'a signature line is malformed')
  }
  return { name, id: bytes.readUInt32BE(0), signature: bytes.subarray(4) }
}

/**
 * Checks a note against the keys that are expected to sign it. Signatures of other keys are ignored; every signature
 * of an expected key must verify; a key that signed twice counts once.
 *
 * Does not look at what the text means.
 *
 * @throws {@link AimsError} `audit.malformed_note`, `audit.invalid_signature`, `audit.unknown_signer`
 * @see C2SP signed-note v1.0.0, section "Signatures"
 */
export function verifyNote(note: string, keys: readonly VerifierKey[]): VerifiedNote {
  const { text, signatures } = parseUnverifiedNote(note)
  const data = Buffer.from(text)
  const signers = new Set<VerifierKey>()
  for (const { name, id, signature } of signatures) {
    const known = keys.find((key) => key.name === name && key.id === id)
    if (known === undefined) continue
    if (!verifyBytes('Ed25519', known.key, data, signature)) {
      throw new AimsError('audit.invalid_signature', 'a signature of an expected key does not verify')
    }
    signers.add(known)
  }
  const [first, ...others] = signers
  if (first === undefined) throw new AimsError('audit.unknown_signer', 'no expected key has signed the note')
  return { text, signers: [first, ...others] }
}

/** Writes an Ed25519 public key as `name+id+key`, the form verifiers are configured with. */
export function formatVerifierKey(name: string, publicKey: KeyObject): string {
  const raw = rawPublicKey(publicKey)
  const id = keyId(name, raw).toString(16).padStart(8, '0')
  return `${name}+${id}+${Buffer.concat([Buffer.of(ED25519), raw]).toString('base64')}`
}

/**
 * Reads a verifier key, e.g. `example.com/audit+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k`. Ed25519 only.
 *
 * @throws {@link AimsError} `audit.malformed_key`, `key.unsupported`, `key.malformed`
 * @see C2SP signed-note v1.0.0, section "Signature types"
 */
export function parseVerifierKey(text: string): VerifierKey {
  const [, name, id, base64] = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text) ?? []
  const bytes = base64 === undefined ? undefined : decodeBase64(base64)
  if (name === undefined || id === undefined || bytes === undefined || !KEY_NAME.test(name)) {
    throw new AimsError('audit.malformed_key', 'not name+id+key')
  }
  if (bytes[0] !== ED25519) throw new AimsError('key.unsupported', 'only Ed25519 keys verify notes here')
  const raw = bytes.subarray(1)
  const key = importPublicJwk({ kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') })
  if (keyId(name, raw) !== Number.parseInt(id, 16)) {
    throw new AimsError('audit.malformed_key', 'the id does not belong to this name and key')
  }
  return { name, id: keyId(name, raw), key }
}

function keyId(name: string, raw: Uint8Array): number {
  if (!KEY_NAME.test(name) || !name.isWellFormed()) throw new TypeError('a key name has no blanks and no plus sign')
  return sha256(Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(ED25519), raw])).readUInt32BE(0)
}

function rawPublicKey(key: KeyObject): Buffer {
  const { crv, x } = exportPublicJwk(key)
  if (crv !== 'Ed25519' || x === undefined) throw new TypeError('notes are signed with Ed25519 keys')
  return Buffer.from(x, 'base64url')
}
