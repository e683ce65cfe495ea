import { isJsonObject, type JsonObject } from '../../base/json.ts'
import { flag, malformed, type PolicyField, readPolicyFields, textList, wordsOf } from '../appraisal/policy-fields.ts'
import { readTdxPolicy, type TdxPolicy } from '../dcap/tdx.ts'
import { readSnpPolicy, type SnpPolicy } from '../sev-snp/policy.ts'
import { pcrReferences } from '../tpm/appraise.ts'

/** What a confidential VM of Azure must be. `{}`: strict defaults of its hardware, any boot. */
export interface AzureCvmPolicy {
  /** Hardware that is accepted. Default both. */
  readonly tees: readonly ('sev-snp' | 'tdx')[]
  /** As for type `sev-snp`. */
  readonly snp: SnpPolicy
  /** As for type `tdx`, except that `requireSeptVeDisable` is off by default: Azure's guests have it clear. */
  readonly tdx: TdxPolicy
  /** Values each PCR may have, hex: `{"sha256:7": ["..."]}`. A PCR that is named must be quoted. */
  readonly pcrs: { readonly [pcr: string]: readonly string[] } | undefined
  /** The configuration of the machine must have it on. Default false: name PCR 7 to know what it did. */
  readonly requireSecureBoot: boolean
  /** The challenge must be in the user data too (evidence version 2). */
  readonly requireUserData: boolean
  /** vmUniqueIds, lower-case UUIDs. */
  readonly vmIds: readonly string[] | undefined
}

const TEES = ['sev-snp', 'tdx'] as const

function object(value: unknown, name: string): JsonObject {
  if (!isJsonObject(value as JsonObject | undefined)) throw malformed(name, 'takes an object')
  return value as JsonObject
}
const snp: PolicyField<SnpPolicy> = (value = {}, name) => readSnpPolicy(object(value, name))
const tdx: PolicyField<TdxPolicy> = (value = {}, name) =>
  readTdxPolicy({ requireSeptVeDisable: false, ...object(value, name) })

/**
 * Reads a policy for Azure confidential VMs.
 *
 * @throws {@link AimsError} `attestation.policy_malformed`
 */
export function readAzureCvmPolicy(document: JsonObject): AzureCvmPolicy {
  return readPolicyFields<AzureCvmPolicy>(document, {
    tees: wordsOf(TEES, TEES),
    snp,
    tdx,
    pcrs: pcrReferences,
    requireSecureBoot: flag(false),
    requireUserData: flag(false),
    vmIds: (value, name) => textList(value, name)?.map((one) => one.toLowerCase()),
  })
}
