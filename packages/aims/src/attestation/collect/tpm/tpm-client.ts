import { HASH_ID, TPM_ALG, type TpmHash } from '../../tpm/algorithms.ts'
import type { PcrSelection, PcrValues } from '../../tpm/pcrs.ts'
import { readSelection, writeSelection } from '../../tpm/pcrs.ts'
import { sized, TpmReader, u16, u32 } from '../../tpm/wire.ts'
import { byPassword, byPolicy, execute, TPM_COMMAND, type TpmAnswer, type TpmCommand, TpmRefusal } from './command.ts'
import { failed, type TpmTransport } from './transport.ts'

/** Hierarchies of a TPM. */
export const HIERARCHY = { endorsement: 0x4000_000b, none: 0x4000_0007, owner: 0x4000_0001 } as const

/** A key made under a parent: kept by whoever asked, useless outside its TPM. */
export interface WrappedKey {
  readonly wrapped: Buffer
  /** TPMT_PUBLIC. */
  readonly area: Buffer
}

/** A loaded key. */
export interface LoadedKey {
  readonly handle: number
  /** TPMT_PUBLIC. */
  readonly area: Buffer
}

/** TPMS_ATTEST and TPMT_SIGNATURE. */
export interface SignedStatement {
  readonly attest: Buffer
  readonly signature: Buffer
}

const NULL_SCHEME = u16(TPM_ALG.null)
const NOTHING = sized(Buffer.alloc(0))
const POLICY_SESSION = 1
const NV_CHUNK = 512
const MAX_NV = 8192
const NV_AUTH_READ = 1 << 18

/**
 * The commands of a TPM 2.0 that attestation needs, one method each. What is loaded takes one of a few slots until it
 * is flushed.
 *
 * @throws {@link AimsError} `attestation.collection_failed`, from every method
 * @see TPM 2.0 Library, Part 3
 */
export class TpmClient {
  readonly #transport: TpmTransport
  readonly #endorsementAuth: Uint8Array

  constructor(transport: TpmTransport, options: { readonly endorsementAuth?: Uint8Array } = {}) {
    this.#transport = transport
    this.#endorsementAuth = options.endorsementAuth ?? Buffer.alloc(0)
  }

  close(): Promise<void> {
    return this.#transport.close()
  }

  get isOpen(): boolean {
    return this.#transport.isOpen
  }

  async createPrimary(hierarchy: number, area: Uint8Array): Promise<LoadedKey> {
    const authorizations = [byPassword(hierarchy === HIERARCHY.endorsement ? this.#endorsementAuth : undefined)]
    const { handle, parameters } = await this.#run({
      code: TPM_COMMAND.createPrimary,
      handles: [hierarchy],
      authorizations,
      parameters: newKey(area),
      returnsHandles: 1,
    })
    return { handle, area: parameters.sized() }
  }

  async create(parent: number, authorization: Uint8Array, area: Uint8Array): Promise<WrappedKey> {
    const { parameters } = await this.#run({
      code: TPM_COMMAND.create,
      handles: [parent],
      authorizations: [authorization],
      parameters: newKey(area),
    })
    return { wrapped: parameters.sized(), area: parameters.sized() }
  }

  async load(parent: number, authorization: Uint8Array, { wrapped, area }: WrappedKey): Promise<LoadedKey> {
    const { handle } = await this.#run({
      code: TPM_COMMAND.load,
      handles: [parent],
      authorizations: [authorization],
      parameters: [sized(wrapped), sized(area)],
      returnsHandles: 1,
    })
    return { handle, area }
  }

  /** TPMT_PUBLIC of the key at a handle. */
  async readPublic(handle: number): Promise<Buffer> {
    const { parameters } = await this.#run({ code: TPM_COMMAND.readPublic, handles: [handle] })
    return parameters.sized()
  }

  /** A key with all that the TPM knows about it, under a key of the TPM's own; until the next restart. */
  async saveContext(handle: number): Promise<Buffer> {
    const { parameters } = await this.#run({ code: TPM_COMMAND.contextSave, handles: [handle] })
    return Buffer.from(parameters.take(parameters.left))
  }

  async loadContext(context: Uint8Array): Promise<number> {
    const { handle } = await this.#run({ code: TPM_COMMAND.contextLoad, parameters: [context], returnsHandles: 1 })
    return handle
  }

  async flush(handle: number): Promise<void> {
    await this.#run({ code: TPM_COMMAND.flushContext, parameters: [u32(handle)] })
  }

  /** Runs with a session that may use endorsement keys, and closes it. */
  async withEndorsementPolicy<T>(hash: TpmHash, run: (authorization: Buffer) => Promise<T>): Promise<T> {
    const { handle: session } = await this.#run({
      code: TPM_COMMAND.startAuthSession,
      handles: [HIERARCHY.none, HIERARCHY.none],
      parameters: [sized(Buffer.alloc(16)), NOTHING, Buffer.of(POLICY_SESSION), NULL_SCHEME, u16(HASH_ID[hash])],
      returnsHandles: 1,
    })
    try {
      await this.#run({
        code: TPM_COMMAND.policySecret,
        handles: [HIERARCHY.endorsement, session],
        authorizations: [byPassword(this.#endorsementAuth)],
        parameters: [NOTHING, NOTHING, NOTHING, u32(0)],
      })
      return await run(byPolicy(session))
    } finally {
      await this.flush(session)
    }
  }

  /** @param credential - TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET. */
  async activateCredential(
    key: number,
    endorsementKey: number,
    authorization: Uint8Array,
    credential: Uint8Array,
  ): Promise<Buffer> {
    const { parameters } = await this.#run({
      code: TPM_COMMAND.activateCredential,
      handles: [key, endorsementKey],
      authorizations: [byPassword(), authorization],
      parameters: [credential],
    })
    return parameters.sized()
  }

  async quote(key: number, data: Uint8Array, selection: readonly PcrSelection[]): Promise<SignedStatement> {
    const { parameters } = await this.#run({
      code: TPM_COMMAND.quote,
      handles: [key],
      authorizations: [byPassword()],
      parameters: [sized(data), NULL_SCHEME, writeSelection(selection)],
    })
    return readSigned(parameters)
  }

  async certify(object: number, key: number, data: Uint8Array): Promise<SignedStatement> {
    const { parameters } = await this.#run({
      code: TPM_COMMAND.certify,
      handles: [object, key],
      authorizations: [byPassword(), byPassword()],
      parameters: [sized(data), NULL_SCHEME],
    })
    return readSigned(parameters)
  }

  /** TPMT_SIGNATURE over a digest, by the scheme of the key. */
  async sign(key: number, digest: Uint8Array): Promise<Buffer> {
    // TPMT_TK_HASHCHECK that says nothing: keys that are not restricted need none.
    const ticket = Buffer.concat([u16(0x8024), u32(HIERARCHY.none), NOTHING])
    const { parameters } = await this.#run({
      code: TPM_COMMAND.sign,
      handles: [key],
      authorizations: [byPassword()],
      parameters: [sized(digest), NULL_SCHEME, ticket],
    })
    return Buffer.from(parameters.take(parameters.left))
  }

  /** The values of these PCRs. A bank that is not active has none. */
  async readPcrs(selection: readonly PcrSelection[]): Promise<PcrValues> {
    const values = new Map<string, Uint8Array>()
    // The TPM answers with as many as it likes, eight mostly.
    let wanted = selection
    while (wanted.some(({ indices }) => indices.length > 0)) {
      const { parameters } = await this.#run({ code: TPM_COMMAND.pcrRead, parameters: [writeSelection(wanted)] })
      parameters.u32()
      const answered = readSelection(parameters)
      const count = parameters.u32()
      const names = answered.flatMap(({ bank, indices }) => indices.map((index) => `${bank}:${index}`))
      if (count !== names.length) throw failed('the TPM gave another number of PCRs than it says')
      if (count === 0) break
      for (const name of names) values.set(name, Buffer.from(parameters.sized()))
      wanted = wanted.map(({ bank, indices }) => ({
        bank,
        indices: indices.filter((i) => !values.has(`${bank}:${i}`)),
      }))
    }
    return values
  }

  /** The content of an NV index that anybody may read, or `undefined` where there is none. */
  async readNv(index: number): Promise<Buffer | undefined> {
    const found = await this.#findNv(index)
    if (found === undefined) return undefined
    const { size, reader } = found
    const parts: Buffer[] = []
    for (let offset = 0; offset < size; offset += NV_CHUNK) {
      const length = Math.min(NV_CHUNK, size - offset)
      const { parameters } = await this.#run({
        code: TPM_COMMAND.nvRead,
        handles: [reader, index],
        authorizations: [byPassword()],
        parameters: [u16(length), u16(offset)],
      })
      parts.push(Buffer.from(parameters.sized()))
    }
    return Buffer.concat(parts)
  }

  async #findNv(index: number): Promise<{ readonly size: number; readonly reader: number } | undefined> {
    let answer: TpmAnswer
    try {
      answer = await this.#run({ code: TPM_COMMAND.nvReadPublic, handles: [index] })
    } catch (error) {
      if (isMissingHandle(error)) return undefined
      throw error
    }
    // TPMS_NV_PUBLIC: index, hash, attributes, policy, size.
    const fields = new TpmReader(answer.parameters.sized())
    fields.take(6)
    const attributes = fields.u32()
    fields.sized()
    const size = fields.u16()
    if (size > MAX_NV) throw failed('an NV index of the TPM is larger than a certificate')
    return { size, reader: (attributes & NV_AUTH_READ) === 0 ? HIERARCHY.owner : index }
  }

  #run(command: TpmCommand): Promise<TpmAnswer> {
    return execute(this.#transport, command)
  }
}

/** True when a TPM refused a command because there is nothing at a handle. */
export function isMissingHandle(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof TpmRefusal && (cause.responseCode & 0xff) === 0x8b
}

// Sensitive part without password and data, public area, no outside information, no PCRs.
function newKey(area: Uint8Array): readonly Uint8Array[] {
  return [sized(NOTHING, NOTHING), sized(area), NOTHING, u32(0)]
}

function readSigned(parameters: TpmReader): SignedStatement {
  return { attest: Buffer.from(parameters.sized()), signature: Buffer.from(parameters.take(parameters.left)) }
}
