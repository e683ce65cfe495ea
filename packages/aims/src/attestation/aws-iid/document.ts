import { AimsError, refuseAs } from '../../base/errors.ts'
import { type JsonObject, parseJsonObject } from '../../base/json.ts'

/** What an instance identity document says. */
export interface IidClaims {
  /** 12 digits. */
  readonly accountId: string
  readonly region: string
  readonly availabilityZone: string
  /** `i-...` */
  readonly instanceId: string
  readonly instanceType: string
  /** `ami-...` */
  readonly imageId: string
  readonly architecture: string
  /** When the instance was launched, seconds since the epoch. */
  readonly pendingTime: number
  /** When the document was signed, seconds since the epoch. Absent in the `signature` form. */
  readonly signingTime?: number
}

type TextMember = Exclude<keyof IidClaims, 'pendingTime' | 'signingTime'>

const TEXT_MEMBERS: { readonly [name in TextMember]: RegExp } = {
  accountId: /^[0-9]{12}$/,
  region: /^[a-z]{2,8}(?:-[a-z]{2,10}){1,3}-[0-9]{1,2}$/,
  availabilityZone: /^[a-z0-9-]{3,48}$/,
  instanceId: /^i-[0-9a-f]{8,17}$/,
  instanceType: /^[a-z0-9.-]{1,48}$/,
  imageId: /^ami-[0-9a-f]{8,17}$/,
  architecture: /^[a-z0-9_]{1,32}$/,
}
const VERSIONS: readonly unknown[] = ['2017-09-30', '2010-08-31']
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

/**
 * Reads an instance identity document. Members that nothing here decides on are not looked at.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported` for another version
 * @see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html
 */
export function parseIidDocument(bytes: Uint8Array): Omit<IidClaims, 'signingTime'> {
  const document = refuseAs('attestation.malformed', 'the identity document is not strict JSON', () =>
    parseJsonObject(bytes),
  )
  if (!VERSIONS.includes(document.version)) {
    throw new AimsError('attestation.unsupported', 'the identity document has another version')
  }
  const texts = Object.entries(TEXT_MEMBERS).map(([name, form]) => [name, textOf(document, name, form)] as const)
  const pending = textOf(document, 'pendingTime', TIME)
  const pendingTime = Date.parse(pending) / 1000
  if (!Number.isFinite(pendingTime)) throw malformed('pendingTime')
  return { ...(Object.fromEntries(texts) as { readonly [name in TextMember]: string }), pendingTime }
}

function textOf(document: JsonObject, name: string, form: RegExp): string {
  const value = document[name]
  if (typeof value !== 'string' || !form.test(value)) throw malformed(name)
  return value
}

function malformed(name: string): AimsError {
  return new AimsError('attestation.malformed', `${name} of the identity document does not have its documented form`)
}
