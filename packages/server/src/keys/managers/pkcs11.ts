import { createHash, createPublicKey, type KeyObject, randomUUID } from 'node:crypto'
import { AimsError } from 'aims/base'
import { serializer } from '../../entries.ts'
import { type Cryptoki, CryptokiError, loadCryptoki } from './cryptoki.ts'
import type { KeyManager } from './key-manager.ts'
import { openPinFile, type PinFile } from './pin-file.ts'
import { CURVES } from './signature.ts'

/** Where the keys are. */
export interface Pkcs11Options {
  /** Path of the PKCS#11 module. */
  readonly module: string
  /** Label of the token. */
  readonly token: string
  /** File with the PIN of the user, mode 0600. It is read at every login and not kept. */
  readonly pinFile: string
}

// Numbers from the header of PKCS #11.
const CKA = {
  class: 0x0,
  token: 0x1,
  private: 0x2,
  label: 0x3,
  id: 0x102,
  keyType: 0x100,
  ecParams: 0x180,
  ecPoint: 0x181,
}
const CKA_USE = { sensitive: 0x103, sign: 0x108, verify: 0x10a, extractable: 0x162, derive: 0x10c, modifiable: 0x170 }
const CKO = { publicKey: 2, privateKey: 3 }
const CKK_EC = 3
const CKM = { generateEc: 0x1040, ecdsa: 0x1041 }
const CKF_SESSION = 0x2 | 0x4
const CKU_USER = 1
// PIN incorrect, invalid, of a wrong length.
const WRONG_PIN: ReadonlySet<number> = new Set([0xa0, 0xa1, 0xa2])
const TOKEN_INFO_SIZE = 208
const LABEL_SIZE = 32
const MAX_OBJECTS = 64
const LABEL = 'aims '

/**
 * Keys in an HSM, or whatever speaks PKCS#11. They are made in the token, sensitive and not extractable. One session, one call
 * at a time, each off the main thread; after a failure the next call logs in anew, though never with a PIN that was refused.
 *
 * @param load - What tests put in place of it.
 * @see PKCS #11 v2.40 base specification; current mechanisms, section 2.3 (elliptic curves)
 */
export function pkcs11KeyManager(options: Pkcs11Options, load: typeof loadCryptoki = loadCryptoki): KeyManager {
  const oneAtATime = serializer()
  const pins = openPinFile(options.pinFile)
  let loaded: Promise<Cryptoki> | undefined
  let session: number | undefined

  // `work` gets a session in which the user is logged in.
  const use = <T>(work: (cryptoki: Cryptoki, session: number) => Promise<T>): Promise<T> =>
    oneAtATime(async () => {
      loaded ??= load(options.module).catch((error: unknown) => {
        loaded = undefined
        throw error
      })
      const cryptoki = await loaded
      session ??= await login(cryptoki, options.token, pins)
      try {
        return await work(cryptoki, session)
      } catch (error) {
        if (AimsError.is(error) && error.code === 'operation.key_manager_unavailable') {
          await cryptoki.call('C_CloseSession', session).catch(() => undefined)
          session = undefined
        }
        throw error
      }
    })

  return {
    name: 'pkcs11',
    algorithms: ['ES256', 'ES384'],
    generate: (label, alg) =>
      use(async (cryptoki, handle) => {
        const reference = randomUUID()
        const common = [
          [CKA.token, TRUE],
          [CKA.label, Buffer.from(`${LABEL}${label}`)],
          [CKA.id, Buffer.from(reference)],
        ] as const
        const pub = cryptoki.template([...common, [CKA.ecParams, CURVES[alg].oid], [CKA_USE.verify, TRUE]])
        const prv = cryptoki.template([
          ...common,
          [CKA.private, TRUE],
          [CKA_USE.sensitive, TRUE],
          [CKA_USE.extractable, FALSE],
          [CKA_USE.sign, TRUE],
          [CKA_USE.derive, FALSE],
          [CKA_USE.modifiable, FALSE],
        ])
        const handles = [word(0), word(0)] as const
        const mechanism = [mechanismOf(CKM.generateEc), pub, pub.count, prv, prv.count] as const
        await cryptoki.call('C_GenerateKeyPair', handle, ...mechanism, ...handles)
        return { reference, publicKey: await readPublicKey(cryptoki, handle, reference) }
      }),
    sign: (reference, alg, data) =>
      use(async (cryptoki, handle) => {
        const { hash, half } = CURVES[alg]
        const key = await findOne(cryptoki, handle, CKO.privateKey, reference)
        await cryptoki.call('C_SignInit', handle, mechanismOf(CKM.ecdsa), key)
        const digest = createHash(hash).update(data).digest()
        const signature = Buffer.alloc(2 * half)
        const length = word(signature.length)
        await cryptoki.call('C_Sign', handle, digest, digest.length, signature, length)
        return signature.subarray(0, Number(length.readBigUInt64LE()))
      }),
    publicKey: (reference) => use((cryptoki, handle) => readPublicKey(cryptoki, handle, reference)),
    list: () =>
      use(async (cryptoki, handle) => {
        const found = await find(cryptoki, handle, [[CKA.class, word(CKO.privateKey)]])
        const references: string[] = []
        for (const object of found) {
          const [label, id] = await read(cryptoki, handle, object, [CKA.label, CKA.id])
          if (label?.toString().startsWith(LABEL) === true && id !== undefined) references.push(id.toString())
        }
        return references
      }),
    destroy: (reference) =>
      use(async (cryptoki, handle) => {
        for (const object of await find(cryptoki, handle, [[CKA.id, Buffer.from(reference)]])) {
          await cryptoki.call('C_DestroyObject', handle, object)
        }
      }),
    close: () =>
      oneAtATime(async () => {
        const cryptoki = await loaded?.catch(() => undefined)
        if (session !== undefined) await cryptoki?.call('C_CloseSession', session)
        session = undefined
      }),
  }
}

async function login(cryptoki: Cryptoki, token: string, pins: PinFile): Promise<number> {
  const slot = await findSlot(cryptoki, token)
  const pin = await pins.read()
  const handle = word(0)
  await cryptoki.call('C_OpenSession', slot, CKF_SESSION, null, null, handle)
  const session = Number(handle.readBigUInt64LE())
  try {
    await cryptoki.call('C_Login', session, CKU_USER, pin, pin.length)
    return session
  } catch (error) {
    if (error instanceof CryptokiError && WRONG_PIN.has(error.returned)) pins.refuse(pin)
    await cryptoki.call('C_CloseSession', session).catch(() => undefined)
    throw error
  } finally {
    pin.fill(0)
  }
}

async function findSlot(cryptoki: Cryptoki, token: string): Promise<number> {
  const count = word(MAX_OBJECTS)
  const slots = Buffer.alloc(8 * MAX_OBJECTS)
  await cryptoki.call('C_GetSlotList', 1, slots, count)
  const wanted = token.padEnd(LABEL_SIZE)
  const found: number[] = []
  for (let i = 0; i < Number(count.readBigUInt64LE()); i += 1) {
    const slot = Number(slots.readBigUInt64LE(8 * i))
    const info = Buffer.alloc(TOKEN_INFO_SIZE)
    await cryptoki.call('C_GetTokenInfo', slot, info)
    if (info.toString('utf8', 0, LABEL_SIZE) === wanted) found.push(slot)
  }
  const [slot] = found
  if (slot === undefined || found.length > 1) {
    const many = slot === undefined ? 'no token that the module shows' : `each of ${found.length} tokens`
    throw new AimsError('operation.key_manager_unavailable', `${many} has the label in keys.manager.pkcs11.token`)
  }
  return slot
}

async function findOne(cryptoki: Cryptoki, session: number, kind: number, reference: string): Promise<number> {
  const found = await find(cryptoki, session, [
    [CKA.class, word(kind)],
    [CKA.id, Buffer.from(reference)],
  ])
  const [object] = found
  if (object === undefined || found.length > 1) {
    throw new AimsError('operation.key_manager_refused', 'the key manager does not have exactly one key of this name')
  }
  return object
}

async function find(
  cryptoki: Cryptoki,
  session: number,
  attributes: readonly (readonly [number, Buffer])[],
): Promise<readonly number[]> {
  const template = cryptoki.template(attributes)
  await cryptoki.call('C_FindObjectsInit', session, template, template.count)
  const found: number[] = []
  try {
    for (;;) {
      const objects = Buffer.alloc(8 * MAX_OBJECTS)
      const size = word(0)
      await cryptoki.call('C_FindObjects', session, objects, MAX_OBJECTS, size)
      const length = Number(size.readBigUInt64LE())
      for (let i = 0; i < length; i += 1) found.push(Number(objects.readBigUInt64LE(8 * i)))
      if (length < MAX_OBJECTS) return found
    }
  } finally {
    await cryptoki.call('C_FindObjectsFinal', session)
  }
}

async function read(
  cryptoki: Cryptoki,
  session: number,
  object: number,
  types: readonly number[],
): Promise<readonly Buffer[]> {
  const template = cryptoki.template(types.map((type) => [type, Buffer.alloc(512)]))
  await cryptoki.call('C_GetAttributeValue', session, object, template, template.count)
  return template.values.map((value, index) => value.subarray(0, template.lengthOf(index)))
}

async function readPublicKey(cryptoki: Cryptoki, session: number, reference: string): Promise<KeyObject> {
  const object = await findOne(cryptoki, session, CKO.publicKey, reference)
  const [kind, oid, point] = await read(cryptoki, session, object, [CKA.keyType, CKA.ecParams, CKA.ecPoint])
  const known = Object.values(CURVES).find((curve) => oid?.equals(curve.oid))
  if (known === undefined || point === undefined || kind?.readBigUInt64LE() !== BigInt(CKK_EC)) throw malformed()
  // An OCTET STRING by the specification; some tokens leave the wrapping out.
  const size = 1 + 2 * known.half
  const bits = point.subarray(-size)
  if (bits.length !== size || point.length - size > 3) throw malformed()
  const spki = sequence(
    sequence(Buffer.from('06072a8648ce3d0201', 'hex'), known.oid),
    Buffer.concat([Buffer.of(0x03, size + 1, 0), bits]),
  )
  try {
    return createPublicKey({ key: spki, format: 'der', type: 'spki' })
  } catch (cause) {
    throw new AimsError('operation.key_manager_invalid', 'the key manager gave no point of the curve', { cause })
  }
}

// Lengths are below 128 here.
function sequence(...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.of(0x30, content.length), content])
}

function malformed(): AimsError {
  return new AimsError('operation.key_manager_invalid', 'the key manager gave a public key of another form')
}

function mechanismOf(type: number): Buffer {
  return Buffer.concat([word(type), word(0), word(0)])
}

function word(value: number): Buffer {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64LE(BigInt(value))
  return buffer
}

const TRUE = Buffer.of(1)
const FALSE = Buffer.of(0)
