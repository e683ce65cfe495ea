// Evidence of a TPM in software, as a collector would send it, with any part replaced.
import { createHash, randomBytes } from 'node:crypto'
import { bindingDigest, type Challenge } from '../../packages/aims/src/attestation/binding.ts'
import type { CollateralSource } from '../../packages/aims/src/attestation/collateral.ts'
import type { TpmTrust } from '../../packages/aims/src/attestation/tpm/authenticate.ts'
import type { PcrSelection } from '../../packages/aims/src/attestation/tpm/pcrs.ts'
import {
  CERTIFY,
  certifyInfo,
  maker,
  pcrsJson,
  qualifiedName,
  quoteInfo,
  type SoftKey,
  type SoftPcrs,
  type SoftTpm,
  type StatementOptions,
  statement,
} from './soft-tpm.ts'
import type { PkiCertificate } from './vendor-pki.ts'

export const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
export const json = (value: object): Buffer => Buffer.from(JSON.stringify(value))

/** Name under which CAs of a maker are collateral. */
export const caName = ({ subject }: PkiCertificate): string =>
  `tpm/ca/${createHash('sha256').update(subject).digest('hex')}`

/** Trusts the CAs given, the first of which is a root. */
export function trustIn(...cas: readonly PkiCertificate[]): TpmTrust {
  const known = cas.length === 0 ? [maker] : cas
  const files = new Map(known.map((one) => [caName(one), one.der as Uint8Array]))
  const collateral: CollateralSource = { get: (name) => files.get(name) }
  return { roots: new Set([(known[0] as PkiCertificate).fingerprint]), collateral }
}

/** Vouches for one attestation key. */
export const knowing = ({ name }: SoftKey, endorsementKey?: string): Pick<TpmTrust, 'knownKeys'> => ({
  knownKeys: {
    find: (one) =>
      one === name.toString('hex') ? { ...(endorsementKey === undefined ? {} : { endorsementKey }) } : undefined,
  },
})

export const helloOf = (tpm: SoftTpm): { readonly [member: string]: string } => ({
  ekCertificate: b64(tpm.ekCertificate.der),
  ekPublic: b64(tpm.ek.area),
  akPublic: b64(tpm.ak.area),
})

export const challengeFor = (spki: Uint8Array): Challenge => ({ nonce: randomBytes(32), publicKey: spki })

export const SELECTION: readonly PcrSelection[] = [{ bank: 'sha256', indices: [0, 1, 2, 3, 4, 7] }]

export interface QuoteOptions extends Partial<StatementOptions> {
  readonly selection?: readonly PcrSelection[]
  readonly pcrs?: SoftPcrs
  readonly by?: SoftKey
}

/** `quote`, `signature` and `pcrs` of a document. */
export function quoteOf(
  tpm: SoftTpm,
  extraData: Uint8Array,
  options: QuoteOptions = {},
): { [member: string]: unknown } {
  const { selection = SELECTION, pcrs = {}, by = tpm.ak } = options
  const attest = statement({ extraData, qualifiedSigner: signerOf(tpm), ...options }, quoteInfo(selection, pcrs))
  return { quote: b64(attest), signature: b64(by.sign(attest)), pcrs: pcrsJson(selection, pcrs) }
}

/** `certify` of a document. */
export function certifyOf(
  tpm: SoftTpm,
  extraData: Uint8Array,
  options: Partial<StatementOptions> & { readonly key?: SoftKey; readonly name?: Uint8Array } = {},
): { [member: string]: unknown } {
  const { key = tpm.key, name = key.name } = options
  const attest = statement({ extraData, type: CERTIFY, qualifiedSigner: signerOf(tpm), ...options }, certifyInfo(name))
  return { certify: { public: b64(key.area), attest: b64(attest), signature: b64(tpm.ak.sign(attest)) } }
}

const signerOf = ({ ek, ak }: SoftTpm): Buffer => qualifiedName(ek, ak)

export const digestFor = (challenge: Challenge): Buffer => bindingDigest('tpm', challenge, 'sha256')
