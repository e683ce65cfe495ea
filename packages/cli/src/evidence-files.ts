import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type CollateralFile, type CollateralSource, collateralOf, firstOf } from 'aims/attestation'
import { AimsError, decodeBase64, parsePem, sha256 } from 'aims/base'
import { FailedError, UsageError } from './exit.ts'
import { readInput } from './input.ts'

const MAX_FILES = 1000
const MAX_DEPTH = 6
const DER_SEQUENCE = 0x30

/** A file of `--collateral`. */
export interface GivenFile extends CollateralFile {
  /** It was found in a directory, where files of other kinds may lie. */
  readonly isFound: boolean
}

/** `--collateral`: files, and every file below directories; those are also known by their path from the directory. */
export function readCollateral(paths: readonly string[]): readonly GivenFile[] {
  const files = paths.flatMap((path) =>
    isDirectory(path)
      ? readDirectory(path, '', 0).map((file) => ({ ...file, isFound: true }))
      : [{ ...readFile(path, path), isFound: false }],
  )
  if (files.length > MAX_FILES) throw new UsageError(`--collateral takes at most ${MAX_FILES} files`)
  return files
}

/**
 * The same as verifiers ask for it: by name first, then by what the content was recognised as. A file that was named and
 * is not recognised is refused; in a directory it is passed over.
 */
export function collateralSource(
  files: readonly GivenFile[],
  recognise: ((files: readonly CollateralFile[]) => CollateralSource) | undefined,
): { readonly collateral: CollateralSource; readonly files: readonly CollateralFile[] } {
  const named = collateralOf(new Map(files.map(({ name, bytes }) => [name, bytes])))
  if (recognise === undefined) return { collateral: named, files }
  const known = files.filter((file) => !file.isFound || isRecognised(() => recognise([file])))
  return { collateral: firstOf(named, recogniseNaming(known, recognise)), files: known }
}

// Among many files the one to look at is named.
function recogniseNaming(
  files: readonly GivenFile[],
  recognise: (files: readonly CollateralFile[]) => CollateralSource,
): CollateralSource {
  try {
    return recognise(files)
  } catch (error) {
    const culprit = AimsError.is(error) ? files.find((file) => !isRecognised(() => recognise([file]))) : undefined
    if (!AimsError.is(error) || culprit === undefined) throw error
    throw new AimsError(error.code, `${culprit.name}: ${error.message}`, { cause: error })
  }
}

function isRecognised(read: () => unknown): boolean {
  try {
    read()
    return true
  } catch (error) {
    if (AimsError.is(error)) return false
    throw error
  }
}

/** `--root`: files with certificates (PEM or DER), or SHA-256 fingerprints in hex. */
export function readRoots(given: readonly string[]): {
  readonly fingerprints: ReadonlySet<string>
  readonly files: readonly GivenFile[]
} {
  const fingerprints = new Set<string>()
  const files: GivenFile[] = []
  for (const one of given) {
    const fingerprint = one.replaceAll(':', '').toLowerCase()
    if (/^[0-9a-f]{64}$/.test(fingerprint)) {
      fingerprints.add(fingerprint)
      continue
    }
    const file = readFile(one, one)
    files.push({ ...file, isFound: false })
    for (const der of certificatesOf(file.bytes, one)) fingerprints.add(sha256(der).toString('hex'))
  }
  return { fingerprints, files }
}

/** `--key`: the SubjectPublicKeyInfo of the key that is bound, PEM or DER. */
export function readPublicKey(path: string): Uint8Array {
  const bytes = readInput(path)
  if (!bytes.includes('-----BEGIN')) {
    if (bytes[0] === DER_SEQUENCE) return bytes
    throw new UsageError('--key takes a public key in PEM or DER')
  }
  const [block, ...more] = parsePem(bytes.toString('latin1'))
  if (block?.label !== 'PUBLIC KEY' || more.length > 0)
    throw new UsageError('--key takes a PEM file with one PUBLIC KEY')
  return block.bytes
}

function certificatesOf(bytes: Buffer, path: string): readonly Uint8Array[] {
  if (bytes.includes('-----BEGIN')) return parsePem(bytes.toString('latin1')).map((block) => block.bytes)
  const der = bytes[0] === DER_SEQUENCE ? bytes : decodeBase64(bytes.toString('latin1').replaceAll(/\s/g, ''))
  if (der?.[0] !== DER_SEQUENCE) throw new UsageError(`--root takes certificates or a SHA-256 in hex: ${path}`)
  return [der]
}

function readDirectory(directory: string, under: string, depth: number): readonly CollateralFile[] {
  if (depth > MAX_DEPTH) throw new UsageError(`--collateral: more than ${MAX_DEPTH} directories below each other`)
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => !entry.name.startsWith('.'))
    .flatMap((entry) => {
      const path = join(directory, entry.name)
      const name = under === '' ? entry.name : `${under}/${entry.name}`
      if (entry.isDirectory()) return readDirectory(path, name, depth + 1)
      return entry.isFile() ? [readFile(path, name)] : []
    })
}

function readFile(path: string, name: string): { readonly name: string; readonly bytes: Buffer } {
  return { name, bytes: readInput(path) }
}

function isDirectory(path: string): boolean {
  try {
    return path !== '-' && statSync(path).isDirectory()
  } catch (cause) {
    throw new FailedError('operation.input_unreadable', `cannot read ${path}`, { cause })
  }
}
