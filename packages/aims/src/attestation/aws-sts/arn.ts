import { AimsError } from '../../base/errors.ts'
import type { StsIdentity } from './confirm.ts'

const ARN = /^arn:(aws[a-z-]*):(iam|sts)::([0-9]{12}):([!-~]{1,512})$/
const ASSUMED_ROLE = /^assumed-role\/([A-Za-z0-9+=,.@_-]{1,64})\/([A-Za-z0-9+=,.@_-]{2,64})$/
const USER = /^(?:root|user\/[!-~]{1,512})$/

/** Who an answer of AWS is about. */
export interface AwsPrincipal {
  /** Of the role or user: `arn:aws:iam::123456789012:role/Role`. The path of a role is not in it: AWS leaves it out. */
  readonly arn: string
  readonly account: string
  /** Name of the session of an assumed role; the instance id where EC2 assumed it. Chosen by whoever assumes the role. */
  readonly session?: string
}

/**
 * Brings the ARN of an answer to the one form that policies name. Users, roots and assumed roles; federated users are
 * refused, for they choose their own names.
 *
 * @throws {@link AimsError} `attestation.unconfirmed`, `attestation.unsupported`
 */
export function principalOf({ account, arn }: StsIdentity, partition: string): AwsPrincipal {
  const [, inPartition, service, inAccount, resource = ''] = ARN.exec(arn) ?? []
  if (inPartition !== partition || inAccount !== account) {
    throw new AimsError('attestation.unconfirmed', 'the ARN in the answer of AWS is not of its partition and account')
  }
  const [, role, session] = (service === 'sts' && ASSUMED_ROLE.exec(resource)) || []
  if (role !== undefined && session !== undefined) {
    return { arn: `arn:${partition}:iam::${account}:role/${role}`, account, session }
  }
  if (service === 'iam' && USER.test(resource)) return { arn, account }
  throw new AimsError('attestation.unsupported', 'the caller is neither a user nor an assumed role')
}
