import { asBuffer, decodeBase64 } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { type JsonObject, parseJsonObject } from '../../base/json.ts'
import { unpackCms } from '../cms/packaging.ts'
import { type CmsProfile, parseSignedData, type UnverifiedSignedData } from '../cms/signed-data.ts'

/** Evidence taken apart and NOT verified: a CMS message with the document inside, or a document with a bare signature. */
export type UnverifiedIid =
  | { readonly form: 'cms'; readonly message: UnverifiedSignedData; readonly document: Uint8Array }
  | { readonly form: 'signature'; readonly signature: Uint8Array; readonly document: Uint8Array }

const RSA_SHA256 = {
  name: 'rsa2048',
  // sha256 with NULL; sha256WithRSAEncryption with NULL.
  digestAlgorithm: '300d06096086480165030402010500',
  signatureAlgorithm: '300d06092a864886f70d01010b0500',
  hash: 'sha256',
  keyType: 'rsa',
} as const
const DSA_SHA1 = {
  name: 'pkcs7',
  // sha1 with NULL; dsa-with-sha1 without parameters.
  digestAlgorithm: '300906052b0e03021a0500',
  signatureAlgorithm: '300906072a8648ce380403',
  hash: 'sha1',
  keyType: 'dsa',
} as const
const PROFILE: CmsProfile = {
  encoding: 'ber',
  suites: [RSA_SHA256, DSA_SHA1],
  signedAttributes: 'required',
  certificates: 'absent',
}
const SIGNED = ['rsa2048', 'pkcs7', 'signature'] as const
const MEMBERS: ReadonlySet<string> = new Set([...SIGNED, 'document'])

/**
 * Takes evidence apart: what the metadata service answers at `rsa2048` or `pkcs7` as it is, or JSON with exactly one of
 * the members `rsa2048`, `pkcs7`, `signature` (base64) and, where it is `signature`, the `document` (its text, or base64
 * of it). A `document` beside a CMS message must be the very one inside (N1).
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.inconsistent`, `attestation.unsupported`,
 *   `attestation.too_large`
 */
export function parseIid(evidence: Uint8Array): UnverifiedIid {
  if (evidence[0] !== 0x7b) return cmsOf(unpackCms(evidence))
  const parts = refuseAs('attestation.malformed', 'the evidence is not strict JSON', () => parseJsonObject(evidence))
  const forms = SIGNED.filter((name) => name in parts)
  const [form] = forms
  if (form === undefined || forms.length > 1 || Object.keys(parts).some((name) => !MEMBERS.has(name))) {
    throw malformed('takes exactly one of rsa2048, pkcs7 and signature, and document')
  }
  const signed = Buffer.from(textOf(parts, form))
  const document = 'document' in parts ? documentOf(textOf(parts, 'document')) : undefined
  if (form === 'signature') {
    const signature = decodeBase64(signed.toString('latin1').replaceAll(/[\r\n]/g, ''))
    if (document === undefined || signature === undefined) throw malformed('signature takes base64, and a document')
    return { form: 'signature', signature, document }
  }
  const iid = cmsOf(unpackCms(signed))
  if (document !== undefined && !asBuffer(document).equals(iid.document)) {
    throw new AimsError('attestation.inconsistent', 'the document beside the CMS message is not the one that is signed')
  }
  return iid
}

function cmsOf(bytes: Uint8Array): UnverifiedIid {
  const message = parseSignedData(bytes, PROFILE)
  return { form: 'cms', message, document: message.content }
}

function textOf(parts: JsonObject, name: string): string {
  const text = parts[name]
  if (typeof text !== 'string') throw malformed(`${name} is not text`)
  return text
}

function documentOf(text: string): Uint8Array {
  const bytes = text.startsWith('{') ? Buffer.from(text) : decodeBase64(text)
  if (bytes === undefined) throw malformed('document is neither a JSON text nor base64')
  return bytes
}

function malformed(rule: string): AimsError {
  return new AimsError('attestation.malformed', `the identity document evidence: ${rule}`)
}
