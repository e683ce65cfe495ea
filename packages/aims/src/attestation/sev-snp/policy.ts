import type { JsonObject } from '../../base/json.ts'
import {
  flag,
  hexList,
  integer,
  malformed,
  nested,
  type PolicyField,
  type PolicyFields,
  readPolicyFields,
  textList,
  wordsOf,
} from '../appraisal/policy-fields.ts'
import { SNP_PRODUCTS, type SnpProduct } from './product.ts'

/** Lowest patch levels, each part by itself. AMD publishes no rating: these numbers are the operator's. */
export interface SnpMinimumTcb {
  readonly bootloader: number | undefined
  readonly tee: number | undefined
  readonly snp: number | undefined
  readonly microcode: number | undefined
  /** Turin only. */
  readonly fmc: number | undefined
}

/** What a guest must be. Every member that is given restricts; digests are in hex, one or a list. */
export interface SnpPolicy {
  /** Launch digests, 48 bytes. */
  readonly measurements: readonly string[] | undefined
  /** Digests of keys that signed the ID block, or the key of its author, 48 bytes. */
  readonly idKeyDigests: readonly string[] | undefined
  readonly authorKeyDigests: readonly string[] | undefined
  /** What the host gave at launch, 32 bytes. */
  readonly hostData: readonly string[] | undefined
  readonly familyIds: readonly string[] | undefined
  readonly imageIds: readonly string[] | undefined
  /** Privilege levels a report may come from, 0 to 3. Default 0. */
  readonly vmpl: readonly number[]
  readonly minimumGuestSvn: number | undefined
  readonly products: readonly SnpProduct[]
  /** By product; holds for the reported, committed and launch TCB. A product that is not in it is refused. */
  readonly minimumTcb: { readonly [product in SnpProduct]: SnpMinimumTcb | undefined } | undefined
  /** Cloud providers whose VLEKs are accepted, e.g. `CN=cc-us-east-2.amazonaws.com`. Default any, with a warning. */
  readonly cspIds: readonly string[] | undefined
  readonly requireVcek: boolean
  /** Chips, hex, whose keys are known to have leaked. */
  readonly deniedChips: readonly string[] | undefined
  /** The only chips that are accepted. */
  readonly chips: readonly string[] | undefined
  readonly allowDebug: boolean
  /** A migration agent may take the guest to another machine. */
  readonly allowMigrationAgent: boolean
  /** Memory may be on a CXL device. */
  readonly allowCxl: boolean
  /** Version 2 does not name its product; trust in it rests on the endorsement key's alone. */
  readonly allowVersion2: boolean
  /** SMT must be off, and the guest's own policy must not allow it. */
  readonly requireSmtOff: boolean
  /** The firmware must have ruled out aliased memory (BadRAM). */
  readonly requireAliasCheck: boolean
  readonly requireCiphertextHiding: boolean
  readonly requireSingleSocket: boolean
  /** The current firmware must be one that cannot be rolled back. */
  readonly requireCommittedFirmware: boolean
  /** Bits, hex of 8 bytes, that must be set in both mitigation vectors (report version 5). */
  readonly requiredMitigations: bigint | undefined
}

const level = integer(0, 255)
const noLevel: PolicyField<undefined> = (value, name) => {
  if (value !== undefined) throw malformed(name, 'is a patch level of Turin only')
  return undefined
}
const LEVELS: PolicyFields<SnpMinimumTcb> = {
  bootloader: level,
  tee: level,
  snp: level,
  microcode: level,
  fmc: noLevel,
}

function optional<T extends object>(fields: PolicyFields<T>): PolicyField<T | undefined> {
  return (value, name) => (value === undefined ? undefined : nested(fields)(value, name))
}

// The digest of no key at all would admit every guest without an ID block.
const keyDigests: PolicyField<readonly string[] | undefined> = (value, name) => {
  const digests = hexList(48)(value, name)
  if (digests?.some((one) => /^0+$/.test(one))) throw malformed(name, 'takes digests of keys, which are not zero')
  return digests
}

const privilegeLevels: PolicyField<readonly number[]> = (value = 0, name) => {
  const levels = Array.isArray(value) ? value : [value]
  if (levels.length === 0) throw malformed(name, 'takes levels from 0 to 3')
  return levels.map((one) => integer(0, 3)(one, name) as number)
}

const chipIds: PolicyField<readonly string[] | undefined> = (value, name) =>
  textList(value, name)?.map((one) => {
    if (!/^(?:[0-9a-fA-F]{16}|[0-9a-fA-F]{128})$/.test(one)) throw malformed(name, 'takes hex of 64 or 8 bytes')
    return one.toLowerCase()
  })

const mask: PolicyField<bigint | undefined> = (value, name) => {
  const [bits, ...more] = hexList(8)(value, name) ?? []
  if (more.length > 0) throw malformed(name, 'takes one vector')
  return bits === undefined ? undefined : BigInt(`0x${bits}`)
}

const FIELDS: PolicyFields<SnpPolicy> = {
  measurements: hexList(48),
  idKeyDigests: keyDigests,
  authorKeyDigests: keyDigests,
  hostData: hexList(32),
  familyIds: hexList(16),
  imageIds: hexList(16),
  vmpl: privilegeLevels,
  minimumGuestSvn: integer(0, 0xffff_ffff),
  products: wordsOf(SNP_PRODUCTS, SNP_PRODUCTS),
  minimumTcb: optional({
    Milan: optional(LEVELS),
    Genoa: optional(LEVELS),
    Turin: optional({ ...LEVELS, fmc: level }),
  }),
  cspIds: textList,
  requireVcek: flag(false),
  deniedChips: chipIds,
  chips: chipIds,
  allowDebug: flag(false),
  allowMigrationAgent: flag(false),
  allowCxl: flag(false),
  allowVersion2: flag(false),
  requireSmtOff: flag(false),
  requireAliasCheck: flag(false),
  requireCiphertextHiding: flag(false),
  requireSingleSocket: flag(false),
  requireCommittedFirmware: flag(false),
  requiredMitigations: mask,
}

/**
 * Reads a policy for SEV-SNP.
 *
 * @throws {@link AimsError} `attestation.policy_malformed`
 */
export function readSnpPolicy(document: JsonObject): SnpPolicy {
  return readPolicyFields<SnpPolicy>(document, FIELDS)
}
