import { randomBytes } from 'node:crypto'
import { asBuffer, decodeBase64 } from '../../../base/bytes.ts'
import { AimsError } from '../../../base/errors.ts'
import type { JsonObject } from '../../../base/json.ts'
import { spkiBytes } from '../../../base/keys.ts'
import { bindingDigest } from '../../binding.ts'
import { parseTpmAttest } from '../../tpm/attest.ts'
import { pcrValuesJson } from '../../tpm/document.ts'
import { checkQuotedValues, type PcrSelection, type PcrValues, parseSelection } from '../../tpm/pcrs.ts'
import type { CollectorChallenge, EvidenceCollector } from '../collector.ts'
import { type EndorsementKey, findEndorsementKey } from './endorsement-key.ts'
import { TpmSigner } from './signer.ts'
import { attestationArea, residentArea } from './templates.ts'
import { HIERARCHY, TpmClient } from './tpm-client.ts'
import { failed, openTpm } from './transport.ts'

/** Which TPM, and what to say about the machine. */
export interface TpmCollectorOptions {
  /** A device, `tcp://HOST:PORT` or `unix:///PATH` of a simulator. Default `/dev/tpmrm0`. */
  readonly address?: string
  /** The PCRs that the server wants quoted. Default `sha256:0,1,2,3,4,5,6,7`. */
  readonly selection?: string
  /** Default: what there is, elliptic first. */
  readonly endorsementKey?: 'ecc' | 'rsa'
  /** Default `ecc`. */
  readonly attestationKey?: 'ecc' | 'rsa'
  /** Boot log, e.g. `/sys/kernel/security/tpm0/binary_bios_measurements`. Default: none is sent. */
  readonly eventLog?: string
  /** Of the endorsement hierarchy, where its owner set one. Default: empty. */
  readonly endorsementAuth?: Uint8Array
}

/** Collects evidence of a TPM, and makes keys that cannot leave it. */
export interface TpmCollector extends EvidenceCollector {
  hello(): Promise<JsonObject>
  /**
   * Makes a signing key in the TPM, for as long as the machine runs. When a challenge is for this key, the evidence says
   * that it cannot leave.
   */
  createKey(): Promise<TpmSigner>
  /** Lets go of the TPM. Its keys sign no more. */
  close(): Promise<void>
}

/**
 * Collects evidence of a TPM 2.0: its attestation key below its endorsement key, the credential of the challenge, a quote,
 * and a certificate of the key in the challenge where that is a key of the TPM. Talks to the TPM itself; nothing else needs
 * to be installed.
 *
 * @see docs/layers/3-attestation-tpm.md
 */
export function tpmCollector(options: TpmCollectorOptions = {}): TpmCollector {
  const { address = '/dev/tpmrm0', selection: text = 'sha256:0,1,2,3,4,5,6,7' } = options
  const selection = parseSelection(text)
  if (selection === undefined) throw new TypeError('selection is of the form sha256:0,1,2,7')
  let machine: Promise<TpmMachine | undefined> | undefined

  // A TPM that was not there, or has gone, is looked for again: its keys of before went with it.
  async function open(): Promise<TpmMachine | undefined> {
    machine ??= openMachine(address, options).catch((error: unknown) => {
      machine = undefined
      throw error
    })
    const found = await machine
    if (found?.isOpen === true) return found
    machine = undefined
    return found === undefined ? undefined : await open()
  }

  async function need(): Promise<TpmMachine> {
    const found = await open()
    if (found === undefined) throw failed('there is no TPM at this address')
    return found
  }

  return {
    type: 'tpm',
    hello: () => readable(async () => (await need()).hello()),
    collect: (challenge) =>
      readable(async () => {
        const found = await open()
        if (found === undefined) return undefined
        const eventLog = options.eventLog === undefined ? undefined : await readLog(options.eventLog)
        return await found.answer(challenge, selection, eventLog)
      }),
    createKey: () => readable(async () => (await need()).createKey()),
    async close() {
      const found = await machine
      machine = undefined
      await found?.close()
    },
  }
}

async function readable<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (cause) {
    if (!AimsError.is(cause) || cause.code === 'attestation.collection_failed') throw cause
    throw failed('the TPM gave an answer that cannot be read', cause)
  }
}

async function openMachine(address: string, options: TpmCollectorOptions): Promise<TpmMachine | undefined> {
  const transport = await openTpm(address)
  if (transport === undefined) return undefined
  const { endorsementAuth, endorsementKey, attestationKey = 'ecc' } = options
  const client = new TpmClient(transport, endorsementAuth === undefined ? {} : { endorsementAuth })
  try {
    const ek = await findEndorsementKey(client, endorsementKey)
    return new TpmMachine(client, ek, await createAttestationKey(client, ek, attestationKey))
  } catch (error) {
    await transport.close()
    throw error
  }
}

async function readLog(path: string): Promise<Buffer> {
  const { readFile } = await import('node:fs/promises')
  try {
    return await readFile(path)
  } catch (cause) {
    throw failed('the boot log cannot be read', cause)
  }
}

/** A key of which the TPM keeps nothing: it is loaded for each use. */
interface SavedKey {
  readonly context: Buffer
  readonly area: Buffer
}

async function createAttestationKey(client: TpmClient, ek: EndorsementKey, kind: 'ecc' | 'rsa'): Promise<SavedKey> {
  return await ek.use(async (parent) => {
    const wrapped = await ek.authorized((auth) => client.create(parent, auth, attestationArea(kind)))
    const { handle, area } = await ek.authorized((auth) => client.load(parent, auth, wrapped))
    return await save(client, handle, area)
  })
}

async function save(client: TpmClient, handle: number, area: Buffer): Promise<SavedKey> {
  try {
    return { context: await client.saveContext(handle), area }
  } finally {
    await client.flush(handle)
  }
}

/** One TPM with its keys. */
class TpmMachine {
  readonly #client: TpmClient
  readonly #ek: EndorsementKey
  readonly #ak: SavedKey
  readonly #residents = new Map<string, SavedKey>()

  constructor(client: TpmClient, ek: EndorsementKey, ak: SavedKey) {
    this.#client = client
    this.#ek = ek
    this.#ak = ak
  }

  hello(): JsonObject {
    const { certificates, area } = this.#ek
    return { ekCertificate: certificates.map(b64), ekPublic: b64(area), akPublic: b64(this.#ak.area) }
  }

  async createKey(): Promise<TpmSigner> {
    const { handle, area } = await this.#client.createPrimary(HIERARCHY.none, residentArea(randomBytes(32)))
    const key = await save(this.#client, handle, area)
    const signer = new TpmSigner(area, (digest) => this.#with(key, (loaded) => this.#client.sign(loaded, digest)))
    this.#residents.set(spkiBytes(signer.publicKey).toString('hex'), key)
    return signer
  }

  async answer(
    { challenge, offer }: CollectorChallenge,
    selection: readonly PcrSelection[],
    eventLog: Uint8Array | undefined,
  ): Promise<Buffer> {
    const data = bindingDigest('tpm', challenge, 'sha256')
    const resident = this.#residents.get(asBuffer(challenge.publicKey).toString('hex'))
    const secret = offer === undefined ? {} : { secret: b64(await this.#activate(offer)) }
    const parts = await this.#with(this.#ak, async (ak) => ({
      ...(await this.#quote(ak, data, selection)),
      ...(resident === undefined ? {} : { certify: await this.#certify(ak, resident, data) }),
    }))
    const log = eventLog === undefined ? {} : { eventLog: b64(eventLog) }
    return Buffer.from(JSON.stringify({ ...this.hello(), ...secret, ...parts, ...log }))
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  get isOpen(): boolean {
    return this.#client.isOpen
  }

  async #activate({ credential }: JsonObject): Promise<Buffer> {
    const bytes = typeof credential === 'string' ? decodeBase64(credential) : undefined
    if (bytes === undefined) throw failed('the server offers no credential')
    return await this.#ek.use((ek) =>
      this.#with(this.#ak, (ak) => this.#ek.authorized((auth) => this.#client.activateCredential(ak, ek, auth, bytes))),
    )
  }

  // A PCR may be extended between the reading and the quote: then the values are not those quoted, and are read again.
  async #quote(ak: number, data: Uint8Array, selection: readonly PcrSelection[]): Promise<object> {
    for (let attempt = 1; ; attempt += 1) {
      const values = await this.#client.readPcrs(selection)
      const { attest, signature } = await this.#client.quote(ak, data, selection)
      if (isOf(values, attest)) return { quote: b64(attest), signature: b64(signature), pcrs: pcrValuesJson(values) }
      if (attempt === 5) throw failed('the PCRs do not keep still')
    }
  }

  async #certify(ak: number, resident: SavedKey, data: Uint8Array): Promise<object> {
    return await this.#with(resident, async (key) => {
      const { attest, signature } = await this.#client.certify(key, ak, data)
      return { public: b64(resident.area), attest: b64(attest), signature: b64(signature) }
    })
  }

  async #with<T>({ context }: SavedKey, run: (handle: number) => Promise<T>): Promise<T> {
    const handle = await this.#client.loadContext(context)
    try {
      return await run(handle)
    } finally {
      await this.#client.flush(handle)
    }
  }
}

function isOf(values: PcrValues, attest: Uint8Array): boolean {
  const quote = parseTpmAttest(attest)
  if (quote.type !== 'quote') return false
  try {
    checkQuotedValues(values, quote, 'sha256')
    return true
  } catch (error) {
    if (AimsError.is(error)) return false
    throw error
  }
}

function b64(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('base64')
}
