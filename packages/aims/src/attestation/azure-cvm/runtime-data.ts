import type { KeyObject } from 'node:crypto'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject } from '../../base/json.ts'
import { readPublicJwk } from '../../base/jwk.ts'
import { hexMember } from '../packaging.ts'

/** What the paravisor says about its virtual machine. Read, and vouched for only once the hardware report is. */
export interface RuntimeData {
  /** Signs the quotes of the vTPM. */
  readonly attestationKey: KeyObject
  /** RFC 7638, base64url. */
  readonly attestationKeyThumbprint: string
  readonly secureBoot: boolean
  /** Lower-case UUID. */
  readonly vmId: string
  /** What the guest wrote before it asked, 64 bytes; zeros where it wrote nothing. Absent in some versions. */
  readonly userData?: Uint8Array
}

const AK = 'HCLAkPub'
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/**
 * Reads the runtime data of an HCL report: JSON with the public keys of the vTPM, the configuration of the machine and
 * the user data. Exactly one key may be the attestation key, and it must be RSA and for signatures.
 *
 * @throws {@link AimsError} `attestation.malformed`, also for a weak key
 */
export function parseRuntimeData(bytes: Uint8Array): RuntimeData {
  const data = refuseAs('attestation.malformed', 'the runtime data are not strict JSON', () => parseJsonObject(bytes))
  const { keys, 'vm-configuration': machine, 'user-data': userData } = data
  if (!isJsonObject(machine)) throw malformed('the runtime data have no vm-configuration')
  const { 'secure-boot': secureBoot, 'tpm-enabled': hasTpm, vmUniqueId } = machine
  const vmId = typeof vmUniqueId === 'string' ? vmUniqueId.toLowerCase() : ''
  if (typeof secureBoot !== 'boolean' || hasTpm !== true || !UUID.test(vmId)) {
    throw malformed('the vm-configuration has no secure-boot, no vTPM or no vmUniqueId')
  }
  const user = userData === undefined ? undefined : hexMember(userData, 'user-data')
  if (user !== undefined && user.length !== 64) throw malformed('user-data has not 64 bytes')
  const { key, thumbprint } = readAttestationKey(keys)
  return {
    attestationKey: key,
    attestationKeyThumbprint: thumbprint,
    secureBoot,
    vmId,
    ...(user === undefined ? {} : { userData: user }),
  }
}

function readAttestationKey(keys: JsonValue | undefined): { readonly key: KeyObject; readonly thumbprint: string } {
  const list = Array.isArray(keys) ? keys.filter(isJsonObject) : []
  const named: readonly JsonObject[] = list.filter(({ kid }) => kid === AK)
  const [jwk] = named
  if (jwk === undefined || named.length !== 1) throw malformed(`there is not exactly one ${AK}`)
  const uses = jwk.key_ops
  if (jwk.kty !== 'RSA' || !Array.isArray(uses) || !uses.includes('sign'))
    throw malformed(`${AK} is not for signatures`)
  return refuseAs('attestation.malformed', `${AK} cannot be read`, () => readPublicJwk(jwk))
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
