import { AimsError, type AimsErrorCode } from '../base/errors.ts'
import { decodeUnverifiedTyp } from '../base/jose.ts'
import { PROFILES, type Profile } from '../credentials/profile.ts'
import { selectSignature } from './http-signature/select.ts'
import { type SignatureProfile, shapeOf } from './http-signature/shapes.ts'
import type { UnverifiedSignature } from './message-signatures/signature.ts'
import { type Location, PROFILE_RULES } from './profile-rules.ts'

/** Header fields as they came, in order, with every repetition. Never a joined or parsed view of them. */
export type RawHeaders = readonly (readonly [name: string, value: string])[]

/** What a request carries to prove an identity. Nothing of it is verified. */
export type Carried =
  | {
      readonly kind: 'proof'
      readonly profile: Profile
      readonly wit: string
      readonly proof: string
      readonly accessToken: string | undefined
      readonly txnToken: string | undefined
    }
  | {
      readonly kind: 'signature'
      readonly profile: SignatureProfile
      readonly wit: string
      readonly signature: UnverifiedSignature
    }
  | { readonly kind: 'bearer'; readonly token: string }
  | { readonly kind: 'none' }

/**
 * Finds the proof of identity in a request, and its profile by where the tokens are and what `typ` they have, never by
 * which checks they would pass.
 *
 * @throws {@link AimsError} `authentication.duplicate_field`, `.malformed_field` (also for more than 100 fields), `.mixed_profiles`, `.missing_proof`,
 *   `.missing_credential`, `.wit_as_bearer`; `proof.wrong_type`, `proof.malformed`, `credential.wrong_type`,
 *   `credential.malformed`; `signature.malformed`, `.too_large`, `.ambiguous`, `.missing`
 * @see draft-ietf-wimse-wpt-02, section "Presenting"; wimse-wpt-01 and s2s-03 for the older fields
 */
export function readCarriage(headers: RawHeaders): Carried {
  const found = findTokens(requireFewFields(headers))
  const profile = profileOf(found)
  const signature = found.isSigned ? selectSignature(headers) : undefined
  if (signature !== undefined) return signed(found, profile, signature)
  if (profile === undefined) return withoutProof(found)
  const rules = PROFILE_RULES[profile]
  const proof = found.tokens.get(rules.proof.location)
  const wit = found.tokens.get(rules.wit.location)
  if (proof === undefined || wit === undefined) {
    throw new AimsError('authentication.missing_credential', 'the proof came without its WIT')
  }
  requireWitType(wit, profile)
  const accessToken = found.tokens.get('authorization-bearer')
  if (rules.bindsAccessToken && accessToken?.typ !== undefined && WIT_TYPES.has(accessToken.typ)) {
    throw new AimsError('authentication.mixed_profiles', 'a WIT is where an access token belongs')
  }
  const bound = rules.bindsAccessToken ? accessToken?.token : undefined
  return { kind: 'proof', profile, wit: wit.token, proof: proof.token, accessToken: bound, txnToken: found.txnToken }
}

// Node drops what is beyond its own limit without a word, so a message must stay far from it.
const MAX_FIELDS = 100

/** The fields as they are, which are as many as anybody needs. @throws {@link AimsError} `authentication.malformed_field` for more than 100 */
export function requireFewFields(headers: RawHeaders): RawHeaders {
  if (headers.length > MAX_FIELDS) {
    throw new AimsError('authentication.malformed_field', `there are more than ${MAX_FIELDS} fields`)
  }
  return headers
}

/** The value of a field that occurs once, or nothing. */
export function singleField(headers: RawHeaders, field: string): string | undefined {
  let found: string | undefined
  for (const [name, value] of headers) {
    if (name.length !== field.length || name.toLowerCase() !== field) continue
    if (found !== undefined) return undefined
    found = value
  }
  return found
}

interface Token {
  readonly token: string
  readonly typ: string | undefined
}

interface Found {
  readonly tokens: ReadonlyMap<Location, Token>
  readonly txnToken: string | undefined
  /** There is a `Signature-Input`, by whomever. */
  readonly isSigned: boolean
}

const WIT_TYPES: ReadonlySet<string> = new Set(PROFILES.map((profile) => PROFILE_RULES[profile].wit.typ))
type Field = 'authorization' | 'workload-identity-token' | 'workload-proof-token' | 'txn-token'
// No two have the same length: most fields are passed over by a look at it.
const FIELDS = new Map<number, Field>(
  (['authorization', 'workload-identity-token', 'workload-proof-token', 'txn-token'] as const).map((f) => [
    f.length,
    f,
  ]),
)

function findTokens(headers: RawHeaders): Found {
  const values: { [field in Field]?: string } = {}
  let isSigned = false
  for (const [name, value] of headers) {
    const field = FIELDS.get(name.length)
    // Signatures may be added to on the way, and so be on several lines.
    if (name.length === SIGNATURE_INPUT.length) isSigned ||= name.toLowerCase() === SIGNATURE_INPUT
    if (field === undefined || field !== name.toLowerCase()) continue
    // Node and proxies keep one of several, and not all the same one.
    if (values[field] !== undefined) {
      throw new AimsError('authentication.duplicate_field', 'a field that must occur once occurs more often')
    }
    values[field] = value
  }
  const tokens = new Map<Location, Token>()
  const authorization = values.authorization === undefined ? undefined : readAuthorization(values.authorization)
  if (authorization !== undefined) tokens.set(...authorization)
  const wit = values['workload-identity-token']
  if (wit !== undefined) {
    // Beside a WIT in Authorization it is the proof.
    const isProof = authorization?.[1].typ === PROFILE_RULES['aims-00'].wit.typ
    tokens.set('workload-identity-token', readToken(wit, isProof ? 'proof.malformed' : 'credential.malformed'))
  }
  const proof = values['workload-proof-token']
  if (proof !== undefined) tokens.set('workload-proof-token', readToken(proof, 'proof.malformed'))
  return { tokens, txnToken: values['txn-token'], isSigned }
}

const SIGNATURE_INPUT = 'signature-input'

const CREDENTIALS = /^([A-Za-z]+) +([^ ].*)$/
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/
const USUAL_SCHEME = 'WPT '

function readAuthorization(value: string): [Location, Token] | undefined {
  // As nearly everybody writes it, and then there is nothing to take apart.
  const usual = value.startsWith(USUAL_SCHEME) ? value.slice(USUAL_SCHEME.length) : ''
  if (JWT.test(usual)) return ['authorization-wpt', withTyp(usual, 'proof.malformed')]
  const [, scheme = '', token = ''] = CREDENTIALS.exec(value) ?? []
  switch ((scheme === '' ? value : scheme).toLowerCase()) {
    case 'wpt':
      return ['authorization-wpt', readToken(token, 'proof.malformed')]
    case 'bearer':
      return ['authorization-bearer', { token, typ: typOfBearer(token) }]
    default:
      return undefined
  }
}

function readToken(token: string, code: AimsErrorCode): Token {
  if (!JWT.test(token)) throw new AimsError('authentication.malformed_field', 'a field is not one compact JWT')
  return withTyp(token, code)
}

function withTyp(token: string, code: AimsErrorCode): Token {
  try {
    return { token, typ: decodeUnverifiedTyp(token) }
  } catch (cause) {
    if (!AimsError.is(cause)) throw cause
    throw new AimsError(codeOfHeader(cause.code, code), 'the header of a token is not acceptable', { cause })
  }
}

// As the verifiers of the two kinds of token would say it.
function codeOfHeader(cause: AimsErrorCode, code: AimsErrorCode): AimsErrorCode {
  const ofProof = code === 'proof.malformed'
  if (cause === 'jose.too_large') return ofProof ? 'proof.too_large' : 'credential.too_large'
  if (cause === 'jose.unsupported_alg') return ofProof ? 'proof.alg_mismatch' : 'credential.unsupported_alg'
  if (cause === 'jose.forbidden_header') return ofProof ? 'proof.forbidden_header' : 'credential.forbidden_header'
  return code
}

// Most bearer tokens are none of ours, and may have any form.
function typOfBearer(token: string): string | undefined {
  try {
    return JWT.test(token) ? decodeUnverifiedTyp(token) : undefined
  } catch (error) {
    if (AimsError.is(error)) return undefined
    throw error
  }
}

// A pair of location and typ belongs to one profile. Two pairs that both look like a proof belong to none.
function profileOf({ tokens }: Found): Profile | undefined {
  let found: { readonly profile: Profile | undefined } | undefined
  for (const [location, { typ }] of tokens) {
    const { profiles, isOfWit } = PROOF_PLACES[location]
    const profile = profiles.get(typ)
    // One field is that of the proof in one profile and of the WIT in the others; there, typ tells them apart.
    if (profiles.size === 0 || (isOfWit && profile === undefined)) continue
    if (found !== undefined) throw new AimsError('authentication.mixed_profiles', 'two proofs in one request')
    found = { profile }
  }
  if (found === undefined) return undefined
  const { profile } = found
  if (profile === undefined) throw new AimsError('proof.wrong_type', 'typ is not that of a proof in this place')
  return profile
}

interface ProofPlace {
  /** By the `typ` that a proof has here. */
  readonly profiles: ReadonlyMap<string | undefined, Profile>
  readonly isOfWit: boolean
}

const PROOF_PLACES: { readonly [location in Location]: ProofPlace } = {
  'authorization-wpt': proofPlace('authorization-wpt'),
  'authorization-bearer': proofPlace('authorization-bearer'),
  'workload-identity-token': proofPlace('workload-identity-token'),
  'workload-proof-token': proofPlace('workload-proof-token'),
}

function proofPlace(location: Location): ProofPlace {
  const rules = PROFILES.map((profile) => PROFILE_RULES[profile])
  const here = rules.filter(({ proof }) => proof.location === location)
  return {
    profiles: new Map(here.map(({ proof, profile }) => [proof.typ, profile])),
    isOfWit: rules.some(({ wit }) => wit.location === location),
  }
}

// A signature is a proof by itself. Beside another there would be two, and of two one could be somebody else's.
function signed({ tokens }: Found, profile: Profile | undefined, signature: UnverifiedSignature): Carried {
  if (profile !== undefined) {
    throw new AimsError('authentication.mixed_profiles', 'a proof token and an HTTP signature in one request')
  }
  const wit = tokens.get('workload-identity-token')
  if (wit === undefined) {
    throw new AimsError('authentication.missing_credential', 'the signature came without its WIT')
  }
  requireWitType(wit, 'wimse')
  return { kind: 'signature', profile: shapeOf(signature).profile, wit: wit.token, signature }
}

function requireWitType({ typ }: Token, profile: Profile): void {
  const { wit } = PROFILE_RULES[profile]
  if (typ === wit.typ) return
  if (typ !== undefined && WIT_TYPES.has(typ)) {
    throw new AimsError('authentication.mixed_profiles', 'the WIT and the proof are of different profiles')
  }
  // A bearer token that is no WIT is somebody else's token, and not a faulty WIT.
  const isOther = wit.location === 'authorization-bearer'
  throw new AimsError(isOther ? 'authentication.missing_credential' : 'credential.wrong_type', 'no WIT with the proof')
}

function withoutProof({ tokens, isSigned }: Found): Carried {
  const wit = tokens.get('workload-identity-token')
  const bearer = tokens.get('authorization-bearer')
  const bearerIsWit = bearer?.typ !== undefined && WIT_TYPES.has(bearer.typ)
  if (wit !== undefined) {
    if (wit.typ !== undefined && WIT_TYPES.has(wit.typ)) {
      if (isSigned) throw new AimsError('signature.missing', 'no signature has the tag of WIMSE')
      throw new AimsError('authentication.missing_proof', 'a WIT without a proof authenticates nobody')
    }
    throw new AimsError(bearerIsWit ? 'proof.wrong_type' : 'credential.wrong_type', 'typ is not that of a WIT')
  }
  if (bearerIsWit) throw new AimsError('authentication.wit_as_bearer', 'a WIT is not a bearer token')
  if (bearer === undefined) return { kind: 'none' }
  return { kind: 'bearer', token: bearer.token }
}
