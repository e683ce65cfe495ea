import { sha256 } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { spkiBytes } from '../../base/keys.ts'
import { isRocaModulus } from '../../base/roca.ts'
import { checkBoundData, type ExpectedBinding } from '../binding.ts'
import type { EvidenceContext } from '../evidence.ts'
import { checkTpmActivation } from './activation.ts'
import type { TpmClock } from './attest.ts'
import { replayBootLog } from './boot-log.ts'
import {
  type CertifiedKey,
  certifiedAttestationKey,
  certifiedEndorsementKey,
  type TpmCertificateTrust,
} from './certificates.ts'
import type { TpmDocument } from './document.ts'
import type { GceInstance } from './instance.ts'
import { checkAttestationKey, checkEndorsementKey } from './key-rules.ts'
import type { PcrSelection, PcrValues } from './pcrs.ts'
import { parseTpmPublic, type TpmPublic } from './public-area.ts'
import { isBelowEndorsementKey } from './qualified-name.ts'
import { findSecureBoot } from './secure-boot.ts'
import { type VerifiedQuote, type VerifiedResidentKey, verifyCertifiedKey, verifyQuote } from './statements.ts'

/** Attestation keys that were activated before, or that an operator vouches for. */
export interface TpmKnownKeys {
  /** @param name - Name of the attestation key, lower-case hex. */
  find(name: string): TpmKnownKey | undefined
}

/** What is known of an attestation key from before. */
export interface TpmKnownKey {
  /** SHA-256 of the endorsement key the attestation key was activated with, hex. */
  readonly endorsementKey?: string
}

/** Who vouches for TPMs. */
export interface TpmTrust extends TpmCertificateTrust {
  readonly knownKeys?: TpmKnownKeys
}

/** What a TPM says, authenticated. */
export interface TpmClaims {
  /** Name of the attestation key, hex. */
  readonly attestationKey: string
  /** SHA-256 of the endorsement key's SubjectPublicKeyInfo, hex. Absent for a key that only an operator vouches for. */
  readonly endorsementKey?: string
  readonly manufacturer?: string
  readonly model?: string
  readonly version?: string
  readonly instance?: GceInstance
  /** A key was made by the generator of CVE-2017-15361. */
  readonly hasRocaKey: boolean
  readonly quote?: {
    readonly selection: readonly PcrSelection[]
    readonly pcrDigest: string
    readonly values?: PcrValues
  }
  /** SHA-256 of the SubjectPublicKeyInfo of a signing key that cannot leave the TPM, hex. */
  readonly residentKey?: string
  readonly hasEventLog: boolean
  /** From the replayed event log only. Absent: not known. */
  readonly secureBoot?: boolean
  readonly clock: TpmClock
  readonly firmwareVersion: bigint
}

/** Claims, with what goes into the result besides them. */
export interface TpmFindings {
  readonly claims: TpmClaims
  readonly isBound: boolean
  readonly certified: readonly CertifiedKey[]
}

/**
 * Checks every signature, certificate and binding of a document.
 *
 * @throws {@link AimsError} `attestation.*`
 * @see docs/layers/3-attestation-tpm.md; TCG EK Credential Profile 2.5; TPM 2.0 Library, Part 3, section 18
 */
export function authenticateTpm(document: TpmDocument, trust: TpmTrust, context: EvidenceContext): TpmFindings {
  const ak = parseTpmPublic(document.akPublic)
  const key = checkAttestationKey(ak)
  const quote = document.quote === undefined ? undefined : verifyQuote(key, document.quote)
  const resident = document.certify === undefined ? undefined : verifyCertifiedKey(key, document.certify)
  const statement = quote ?? resident
  if (statement === undefined) throw new AimsError('attestation.malformed', 'neither a quote nor a certified key')
  const origin = findOrigin(document, { ak, statement }, trust, context)
  const isBound = [quote, resident].map((one) => one === undefined || isBoundTo(one, context.expected)).every(Boolean)
  if (resident !== undefined) checkResidentKeyIsChallenged(resident, context.expected)
  const log = document.eventLog === undefined ? {} : readLog(document.eventLog, quote)
  const { ek, akCertified, endorsementKey } = origin
  const named = ek ?? akCertified
  const moduli = [ak, origin.ekPublic, resident?.key].map((one) => one?.modulus)
  return {
    isBound,
    certified: [ek, akCertified].filter((one) => one !== undefined),
    claims: {
      attestationKey: ak.name.toString('hex'),
      ...(endorsementKey === undefined ? {} : { endorsementKey }),
      ...(named?.manufacturer === undefined ? {} : { manufacturer: named.manufacturer }),
      ...(named?.model === undefined ? {} : { model: named.model }),
      ...(named?.version === undefined ? {} : { version: named.version }),
      ...(named?.instance === undefined ? {} : { instance: named.instance }),
      hasRocaKey: moduli.some((modulus) => modulus !== undefined && isRocaModulus(modulus)),
      ...(quote === undefined ? {} : { quote: quoteClaims(quote) }),
      ...(resident === undefined ? {} : { residentKey: keyDigest(resident.key) }),
      hasEventLog: document.eventLog !== undefined,
      ...log,
      clock: statement.clock,
      firmwareVersion: statement.firmwareVersion,
    },
  }
}

interface Origin {
  readonly ekPublic?: TpmPublic
  readonly ek?: CertifiedKey
  readonly akCertified?: CertifiedKey
  readonly endorsementKey?: string
}

interface Signer {
  readonly ak: TpmPublic
  readonly statement: VerifiedQuote | VerifiedResidentKey
}

// What shows that the attestation key lives in a TPM: the challenge, an earlier one, or a certificate of its own.
function findOrigin(document: TpmDocument, signer: Signer, trust: TpmTrust, context: EvidenceContext): Origin {
  const { prepared, now } = context
  const { ak } = signer
  const endorsed = readEndorsement(document, trust, now)
  const known = trust.knownKeys?.find(ak.name.toString('hex'))
  if (prepared !== undefined) {
    checkTpmActivation(prepared, endorsed.ekPublic, ak, document.secret)
    return { ...endorsed, endorsementKey: endorsed.ek?.keyDigest as string }
  }
  if (known !== undefined) return { ...endorsed, ...endorsementOf(known, endorsed, signer) }
  if (document.akCertificates.length > 0) {
    // Its certificate says nothing about which endorsement key it is beside.
    return { akCertified: certifiedAttestationKey(document.akCertificates, ak, trust, now) }
  }
  throw new AimsError('attestation.key_unknown', 'nothing shows that the attestation key lives in a TPM')
}

// A key that is known to live in a TPM shows itself beside which endorsement key: its statements name its parent.
function endorsementOf(
  { endorsementKey }: TpmKnownKey,
  { ek, ekPublic }: Pick<Origin, 'ek' | 'ekPublic'>,
  { ak, statement }: Signer,
): Pick<Origin, 'endorsementKey'> {
  if (ek === undefined || ekPublic === undefined) return endorsementKey === undefined ? {} : { endorsementKey }
  if (endorsementKey !== undefined && ek.keyDigest !== endorsementKey) {
    throw new AimsError('attestation.taken', 'the attestation key was first seen beside another endorsement key')
  }
  if (endorsementKey === undefined && !isBelowEndorsementKey(statement.qualifiedSigner, ekPublic, ak)) {
    throw new AimsError('attestation.inconsistent', 'the attestation key is not below this endorsement key')
  }
  return { endorsementKey: ek.keyDigest }
}

function readEndorsement(document: TpmDocument, trust: TpmTrust, now: number): Pick<Origin, 'ek' | 'ekPublic'> {
  const { ekPublic: bytes, ekCertificates } = document
  if (bytes === undefined && ekCertificates.length === 0) return {}
  if (bytes === undefined || ekCertificates.length === 0) {
    throw new AimsError('attestation.inconsistent', 'an endorsement key and its certificate come together')
  }
  const ekPublic = parseTpmPublic(bytes)
  checkEndorsementKey(ekPublic)
  return { ekPublic, ek: certifiedEndorsementKey(ekCertificates, ekPublic, trust, now) }
}

function isBoundTo({ extraData }: VerifiedQuote | VerifiedResidentKey, expected: ExpectedBinding): boolean {
  // Data of a TPM have a length of their own: nothing is padded.
  const length = expected.kind === 'challenge' ? 32 : expected.kind === 'data' ? expected.data.length : extraData.length
  if (extraData.length !== length) {
    throw new AimsError('attestation.binding_mismatch', 'the data that the TPM signed are not what was asked for')
  }
  return checkBoundData('tpm', extraData, expected)
}

function checkResidentKeyIsChallenged({ key }: VerifiedResidentKey, expected: ExpectedBinding): void {
  if (expected.kind === 'challenge' && !spkiBytes(key.publicKey).equals(expected.challenge.publicKey)) {
    throw new AimsError('attestation.binding_mismatch', 'the TPM certified another key than the one to be certified')
  }
}

function readLog(bytes: Uint8Array, quote: VerifiedQuote | undefined): { readonly secureBoot?: boolean } {
  if (quote?.values === undefined) {
    throw new AimsError('attestation.inconsistent', 'an event log needs the quoted values of its PCRs')
  }
  const secureBoot = findSecureBoot(replayBootLog(bytes, quote.values))
  return secureBoot === undefined ? {} : { secureBoot }
}

function quoteClaims({ selection, pcrDigest, values }: VerifiedQuote): NonNullable<TpmClaims['quote']> {
  return { selection, pcrDigest: pcrDigest.toString('hex'), ...(values === undefined ? {} : { values }) }
}

function keyDigest({ publicKey }: TpmPublic): string {
  return sha256(spkiBytes(publicKey)).toString('hex')
}
