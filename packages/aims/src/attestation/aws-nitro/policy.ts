import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject } from '../../base/json.ts'
import {
  flag,
  hexList,
  integer,
  malformed,
  type PolicyField,
  readPolicyFields,
  textList,
} from '../appraisal/policy-fields.ts'
import type { Authenticated } from '../evidence.ts'
import type { NitroClaims } from './aws-nitro.ts'

/** What an enclave must be. `{}`: any image, but not in debug mode. */
export interface NitroPolicy {
  /** Accepts enclaves in debug mode, whose PCRs are zero. Default false. */
  readonly allowDebug: boolean
  /** PCR index to the values accepted, hex of 48 bytes: 0 image, 1 kernel, 2 application, 3 role, 4 instance, 8 signer. */
  readonly pcrs: { readonly [index: string]: readonly string[] }
  /** Instances the enclave may run on, `i-...`. Absent: any. */
  readonly instances: readonly string[] | undefined
  /** Seconds since the document was made. Absent: as long as its certificate lives, three hours. */
  readonly maxAge: number | undefined
}

const pcrTable: PolicyField<NitroPolicy['pcrs']> = (value = {}, name) => {
  if (!isJsonObject(value)) throw malformed(name, 'takes an object of PCR index to values')
  const table: Record<string, readonly string[]> = {}
  for (const [index, values] of Object.entries(value)) {
    if (!/^(?:[12]?[0-9]|3[01])$/.test(index)) throw malformed(name, 'takes indexes from 0 to 31')
    table[index] = hexList(48)(values, `${name}.${index}`) as readonly string[]
  }
  return table
}

/** @throws {@link AimsError} `attestation.policy_malformed` */
export function readNitroPolicy(document: JsonObject): NitroPolicy {
  return readPolicyFields<NitroPolicy>(document, {
    allowDebug: flag(false),
    pcrs: pcrTable,
    instances: textList,
    maxAge: integer(1, 10_800),
  })
}

/** @throws {@link AimsError} `attestation.debug`, `.measurement_mismatch`, `.not_allowed`, `.stale` */
export function appraiseNitro({ claims, result }: Authenticated<NitroClaims>, policy: NitroPolicy): readonly string[] {
  if (result.debug && !policy.allowDebug) {
    throw new AimsError('attestation.debug', 'the enclave runs in debug mode: its PCRs are zero')
  }
  for (const [index, values] of Object.entries(policy.pcrs)) {
    const pcr = claims.pcrs[index]
    if (pcr === undefined || !values.includes(pcr)) {
      throw new AimsError('attestation.measurement_mismatch', 'a PCR of the enclave is not among the reference values')
    }
  }
  if (policy.instances !== undefined && !policy.instances.includes(claims.instanceId)) {
    throw new AimsError('attestation.not_allowed', 'the enclave runs on an instance that the policy does not allow')
  }
  if (policy.maxAge !== undefined && result.verifiedAt - claims.timestamp > policy.maxAge) {
    throw new AimsError('attestation.stale', 'the Nitro document is older than the policy allows')
  }
  const warnings = result.debug ? ['the enclave runs in debug mode'] : []
  return Object.keys(policy.pcrs).length > 0 ? warnings : [...warnings, 'the policy names no PCR: any enclave passes']
}
