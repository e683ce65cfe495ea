import { asBuffer } from '../../base/bytes.ts'
import { AimsError, type AimsErrorCode } from '../../base/errors.ts'
import { isJsonObject, type JsonObject } from '../../base/json.ts'
import {
  flag,
  hexList,
  malformed,
  type PolicyField,
  type PolicyFields,
  readPolicyFields,
  textList,
} from '../appraisal/policy-fields.ts'
import { HASH_SIZE, type TpmHash } from './algorithms.ts'
import type { TpmClaims } from './authenticate.ts'
import { formatSelection, parseSelection } from './pcrs.ts'

/** What is asked of a TPM. `{}`: a quote over at least one PCR of every bank selected, and sound keys. */
export interface TpmPolicy {
  /** The PCRs that must be quoted, exactly, e.g. `sha256:0,1,2,3,4,7`. */
  readonly selection: string | undefined
  /** Values each PCR may have, hex: `{"sha256:7": ["..."]}`. */
  readonly pcrs: { readonly [pcr: string]: readonly string[] } | undefined
  /** Digests a whole quote may have, hex, of the hash of the signature. */
  readonly pcrDigests: readonly string[] | undefined
  /** The event log must be there and say that secure boot was on. Default false. */
  readonly requireSecureBoot: boolean
  /** The key to be certified must be one that cannot leave the TPM. Default false. */
  readonly requireResidentKey: boolean
  /** Without a quote nothing is known about what was booted. Default false. */
  readonly acceptWithoutQuote: boolean
  /** Default false: a warning only. */
  readonly requireSafeClock: boolean
  /** Keys of the generator of CVE-2017-15361 can be computed. Default false. */
  readonly acceptRocaKeys: boolean
  /** SHA-256 of SubjectPublicKeyInfos, hex. */
  readonly endorsementKeys: readonly string[] | undefined
  readonly deniedEndorsementKeys: readonly string[] | undefined
  /** As certificates say it, e.g. `id:494E5443`. */
  readonly manufacturers: readonly string[] | undefined
  /** firmwareVersion of the statement, 16 hex digits. */
  readonly minimumFirmware: bigint | undefined
  readonly deniedFirmware: readonly bigint[] | undefined
  /** Project ids of Google Compute Engine. */
  readonly gceProjects: readonly string[] | undefined
}

const versions: PolicyField<readonly bigint[] | undefined> = (value, name) =>
  hexList(8)(value, name)?.map((version) => BigInt(`0x${version}`))

/** Values each PCR may have: `{"sha256:7": ["..."]}`. */
export const pcrReferences: PolicyField<TpmPolicy['pcrs']> = (value, name) => {
  if (value === undefined) return undefined
  if (!isJsonObject(value) || Object.keys(value).length === 0) throw malformed(name, 'takes an object')
  return Object.fromEntries(
    Object.entries(value).map(([pcr, digests]) => {
      const bank = parseSelection(pcr)?.[0]
      if (bank?.indices.length !== 1) throw malformed(name, 'has members such as sha256:7')
      return [pcr, hexList(HASH_SIZE[bank.bank as TpmHash])(digests, name) as readonly string[]]
    }),
  )
}

const FIELDS: PolicyFields<TpmPolicy> = {
  selection: (value, name) => {
    if (value === undefined) return undefined
    const selection = typeof value === 'string' ? parseSelection(value) : undefined
    if (selection === undefined) throw malformed(name, 'takes a selection such as sha256:0,1,2,7')
    return formatSelection(selection)
  },
  pcrs: pcrReferences,
  pcrDigests: (value, name) => {
    const digests = textList(value, name)
    if (digests?.some((one) => !/^(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{96}|[0-9a-fA-F]{128})$/.test(one))) {
      throw malformed(name, 'takes digests in hex')
    }
    return digests?.map((one) => one.toLowerCase())
  },
  requireSecureBoot: flag(false),
  requireResidentKey: flag(false),
  acceptWithoutQuote: flag(false),
  requireSafeClock: flag(false),
  acceptRocaKeys: flag(false),
  endorsementKeys: hexList(32),
  deniedEndorsementKeys: hexList(32),
  manufacturers: textList,
  minimumFirmware: (value, name) => {
    const [only, ...others] = versions(value, name) ?? []
    if (others.length > 0) throw malformed(name, 'takes one version')
    return only
  },
  deniedFirmware: versions,
  gceProjects: textList,
}

/** Reads a policy. @throws {@link AimsError} `attestation.policy_malformed` */
export function readTpmPolicy(document: JsonObject): TpmPolicy {
  return readPolicyFields(document, FIELDS)
}

/**
 * Compares what a TPM says with a policy; returns warnings.
 *
 * @throws {@link AimsError} `attestation.not_enough`, `.measurement_mismatch`, `.not_allowed`, `.revoked`, `.weak_key`,
 *   `.tcb_out_of_date`
 */
export function appraiseTpm(claims: TpmClaims, policy: TpmPolicy): readonly string[] {
  for (const { code, message, isBroken } of RULES) {
    if (isBroken(claims, policy)) throw new AimsError(code, message)
  }
  return claims.clock.isSafe ? [] : ['the clock of the TPM may repeat values: it lost power without notice']
}

interface Rule {
  readonly code: AimsErrorCode
  readonly message: string
  isBroken(claims: TpmClaims, policy: TpmPolicy): boolean
}

const RULES: readonly Rule[] = [
  {
    code: 'attestation.weak_key',
    message: 'a key of the TPM was made by a generator whose keys can be computed',
    isBroken: ({ hasRocaKey }, { acceptRocaKeys }) => hasRocaKey && !acceptRocaKeys,
  },
  {
    code: 'attestation.revoked',
    message: 'the endorsement key is one that the policy denies',
    isBroken: ({ endorsementKey }, { deniedEndorsementKeys }) =>
      deniedEndorsementKeys !== undefined &&
      (endorsementKey === undefined || deniedEndorsementKeys.includes(endorsementKey)),
  },
  {
    code: 'attestation.tcb_out_of_date',
    message: 'the firmware of the TPM is one that the policy does not accept',
    isBroken: ({ firmwareVersion }, { minimumFirmware = 0n, deniedFirmware = [] }) =>
      firmwareVersion < minimumFirmware || deniedFirmware.includes(firmwareVersion),
  },
  {
    code: 'attestation.not_allowed',
    message: 'the TPM is not among those that the policy names',
    isBroken: ({ endorsementKey, manufacturer, instance }, { endorsementKeys, manufacturers, gceProjects }) =>
      isOutside(endorsementKeys, endorsementKey) ||
      isOutside(manufacturers, manufacturer) ||
      isOutside(gceProjects, instance?.projectId),
  },
  {
    code: 'attestation.not_enough',
    message: 'the policy asks for a key that cannot leave the TPM',
    isBroken: ({ residentKey }, { requireResidentKey }) => requireResidentKey && residentKey === undefined,
  },
  {
    code: 'attestation.not_enough',
    message: 'the clock of the TPM may repeat values',
    isBroken: ({ clock }, { requireSafeClock }) => requireSafeClock && !clock.isSafe,
  },
  {
    code: 'attestation.not_enough',
    message: 'nothing is known about what was booted: no PCR is quoted',
    isBroken: ({ quote }, { acceptWithoutQuote, selection, pcrs, pcrDigests }) =>
      quote === undefined && !(acceptWithoutQuote && [selection, pcrs, pcrDigests].every((one) => one === undefined)),
  },
  {
    // A bank that is not active comes back empty (N19).
    code: 'attestation.not_enough',
    message: 'the quote covers other PCRs than were asked for',
    isBroken: ({ quote }, { selection }) =>
      quote !== undefined &&
      (quote.selection.length === 0 ||
        quote.selection.some(({ indices }) => indices.length === 0) ||
        (selection !== undefined && formatSelection(quote.selection) !== selection)),
  },
  {
    code: 'attestation.measurement_mismatch',
    message: 'the digest of the quoted PCRs is not among the reference values',
    isBroken: ({ quote }, { pcrDigests }) => isOutside(pcrDigests, quote?.pcrDigest),
  },
  {
    code: 'attestation.measurement_mismatch',
    message: 'a PCR has not one of its reference values',
    isBroken: ({ quote }, { pcrs = {} }) =>
      Object.entries(pcrs).some(([pcr, digests]) => {
        const value = quote?.values?.get(pcr)
        return value === undefined || !digests.includes(asBuffer(value).toString('hex'))
      }),
  },
  {
    code: 'attestation.not_allowed',
    message: 'no event log shows that secure boot was on',
    isBroken: ({ secureBoot }, { requireSecureBoot }) => requireSecureBoot && secureBoot !== true,
  },
]

function isOutside(list: readonly string[] | undefined, value: string | undefined): boolean {
  return list !== undefined && (value === undefined || !list.includes(value))
}
