// AWS KMS on loopback: what the driver needs of it, in its JSON protocol, for those who sign their requests rightly.
import { randomUUID } from 'node:crypto'
import { isJsonObject, type JsonObject } from '../../packages/aims/src/base/json.ts'
import { type FakeKey, type FakeKms, makeKey, shownKey, signDigest } from './fake-kms.ts'
import { judgeSigV4 } from './sigv4-judge.ts'
import { tlsHost } from './tls-host.ts'

export const AWS_USER = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'secret of the test' }
const REGION = 'eu-central-1'
const ACCOUNT = `arn:aws:kms:${REGION}:111122223333`
const ALGORITHMS = { ECC_NIST_P256: 'ES256', ECC_NIST_P384: 'ES384' } as const

class AwsError extends Error {
  readonly status: number

  constructor(code: string, status = 400) {
    super(code)
    this.status = status
  }
}

export async function startFakeAwsKms(): Promise<FakeKms & { readonly aliases: Map<string, string> }> {
  const users = { [AWS_USER.AWS_ACCESS_KEY_ID]: { secret: AWS_USER.AWS_SECRET_ACCESS_KEY } }
  const keys = new Map<string, FakeKey>()
  const aliases = new Map<string, string>()
  const operations: string[] = []

  const find = (id: unknown): { reference: string; key: FakeKey } => {
    const reference = String(id)
    const key = keys.get(reference)
    if (key === undefined) throw new AwsError('NotFoundException')
    return { reference, key }
  }
  const usable = (id: unknown): ReturnType<typeof find> => {
    const found = find(id)
    if (found.key.state === 'disabled') throw new AwsError('DisabledException')
    if (found.key.state === 'destroyed') throw new AwsError('KMSInvalidStateException')
    return found
  }
  const named = (reference: string): string =>
    self.fault === 'answers about another key' ? `${ACCOUNT}:key/${randomUUID()}` : reference

  const OPERATIONS: { readonly [name: string]: (body: JsonObject) => JsonObject } = {
    CreateKey: ({ KeySpec, Tags }) => {
      if (KeySpec !== 'ECC_NIST_P256' && KeySpec !== 'ECC_NIST_P384') throw new AwsError('ValidationException')
      const reference = `${ACCOUNT}:key/${randomUUID()}`
      const tags = Array.isArray(Tags) ? Tags.filter(isJsonObject) : []
      const labels = Object.fromEntries(tags.map(({ TagKey, TagValue }) => [String(TagKey), String(TagValue)]))
      keys.set(reference, makeKey(ALGORITHMS[KeySpec], labels))
      return { KeyMetadata: { KeyId: reference.split('/')[1] ?? '', Arn: reference, KeySpec } }
    },
    CreateAlias: ({ AliasName, TargetKeyId }) => {
      const { reference } = usable(TargetKeyId)
      if (!/^alias\/[a-zA-Z0-9/_-]+$/.test(String(AliasName))) throw new AwsError('InvalidAliasNameException')
      aliases.set(String(AliasName), reference)
      return {}
    },
    DeleteAlias: ({ AliasName }) => {
      if (!aliases.delete(String(AliasName))) throw new AwsError('NotFoundException')
      return {}
    },
    // Two to a page, so that there are pages.
    ListAliases: ({ KeyId, Marker }) => {
      const start = Number(Marker ?? 0)
      const all = [...aliases].filter(([, reference]) => KeyId === undefined || reference === KeyId)
      const page = all.slice(start, start + 2).map(([name, reference]) => ({
        AliasName: name,
        AliasArn: `${ACCOUNT}:${name}`,
        TargetKeyId: reference.split('/')[1] ?? '',
      }))
      const truncated = all.length > start + 2
      return { Aliases: page, Truncated: truncated, ...(truncated ? { NextMarker: String(start + 2) } : {}) }
    },
    GetPublicKey: ({ KeyId }) => {
      const { reference, key } = usable(KeyId)
      const der = shownKey(key, self.fault).export({ type: 'spki', format: 'der' })
      return { KeyId: named(reference), PublicKey: der.toString('base64'), KeyUsage: 'SIGN_VERIFY' }
    },
    Sign: ({ KeyId, Message, MessageType, SigningAlgorithm }) => {
      const { reference, key } = usable(KeyId)
      const expected = key.alg === 'ES256' ? 'ECDSA_SHA_256' : 'ECDSA_SHA_384'
      const digest = Buffer.from(String(Message), 'base64')
      if (SigningAlgorithm !== expected) throw new AwsError('InvalidKeyUsageException')
      if (MessageType !== 'DIGEST' || digest.length !== (key.alg === 'ES256' ? 32 : 48)) {
        throw new AwsError('ValidationException')
      }
      const signature = signDigest(key, digest, self.fault, 'der')
      return { KeyId: named(reference), Signature: signature.toString('base64'), SigningAlgorithm: expected }
    },
    ScheduleKeyDeletion: ({ KeyId, PendingWindowInDays }) => {
      const { reference, key } = find(KeyId)
      if (key.state === 'destroyed') throw new AwsError('KMSInvalidStateException')
      if (Number(PendingWindowInDays) < 7) throw new AwsError('ValidationException')
      key.state = 'destroyed'
      return { KeyId: reference, KeyState: 'PendingDeletion' }
    },
  }

  const host = await tlsHost(['localhost'], async (request, response) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part)
    const body = Buffer.concat(parts)
    const answer = (status: number, document: JsonObject): void => {
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' })
      response.end(JSON.stringify(document))
    }
    try {
      const judged = judgeSigV4(request, body, users, Date.now() / 1000)
      if (judged === 'InvalidClientTokenId') throw new AwsError('UnrecognizedClientException')
      if (typeof judged === 'string') throw new AwsError('InvalidSignatureException')
      if (judged.region !== REGION || judged.service !== 'kms') throw new AwsError('InvalidSignatureException')
      const name = String(request.headers['x-amz-target']).replace('TrentService.', '')
      operations.push(name)
      const { fault } = self
      if (fault === 'throttled once') self.fault = 'none'
      if (fault.startsWith('throttled')) throw new AwsError('ThrottlingException')
      if (fault === 'denied') throw new AwsError('AccessDeniedException')
      if (fault === 'broken') throw new AwsError('KMSInternalException', 500)
      const parsed: unknown = JSON.parse(body.toString())
      const operation = OPERATIONS[name]
      if (operation === undefined || !isObject(parsed)) throw new AwsError('UnknownOperationException')
      answer(200, operation(parsed))
    } catch (error) {
      if (!(error instanceof AwsError)) throw error
      answer(error.status, { __type: error.message })
    }
  })
  const self: Awaited<ReturnType<typeof startFakeAwsKms>> = {
    host,
    keys,
    aliases,
    operations,
    fault: 'none',
    setting: { 'aws-kms': { region: REGION, endpoint: `https://localhost:${host.port}` } },
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  }
  return self
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
