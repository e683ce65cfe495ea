import { asBuffer } from '../../../base/bytes.ts'
import { AimsError } from '../../../base/errors.ts'
import { parseTpmPublic } from '../../tpm/public-area.ts'
import { parseVendorCertificate, vendorPublicKey } from '../../x509/vendor-certificate.ts'
import { byPassword } from './command.ts'
import { ENDORSEMENT_TEMPLATES, type EndorsementTemplate } from './templates.ts'
import { HIERARCHY, isMissingHandle, type TpmClient } from './tpm-client.ts'
import { failed } from './transport.ts'

/** The endorsement key of a TPM: the one that its maker certified. */
export interface EndorsementKey {
  /** The key's own certificate, then those of CAs that the maker left in the TPM. DER. */
  readonly certificates: readonly Buffer[]
  /** TPMT_PUBLIC. */
  readonly area: Buffer
  /** Runs with the key loaded. */
  use<T>(run: (handle: number) => Promise<T>): Promise<T>
  /** Runs one command that uses the key, with what authorizes it. */
  authorized<T>(run: (authorization: Buffer) => Promise<T>): Promise<T>
}

/** Where makers put the chain of the certificate: DER, one after the other, over as many indices as it takes. */
const CHAIN_INDEX = 0x01c0_0100
const MAX_CHAIN_INDICES = 8
const MAX_CERTIFICATES = 5

/**
 * Finds the endorsement key for which the TPM holds a certificate, and makes it (a TPM makes the same key each time) or
 * takes it from where it lies ready.
 *
 * @throws {@link AimsError} `attestation.collection_failed`: no certificate, or none that fits a template
 */
export async function findEndorsementKey(client: TpmClient, kind?: 'ecc' | 'rsa'): Promise<EndorsementKey> {
  for (const template of ENDORSEMENT_TEMPLATES) {
    if (kind !== undefined && kind !== template.kind) continue
    const stored = await client.readNv(template.certificate)
    const certificate = stored === undefined ? undefined : firstDer(stored)
    if (certificate === undefined) continue
    const key = await makeKey(client, template, certificate)
    if (key !== undefined)
      return { ...key, certificates: [certificate, ...(await readChain(client))].slice(0, MAX_CERTIFICATES) }
  }
  throw failed('the TPM holds no certificate of an endorsement key')
}

async function makeKey(
  client: TpmClient,
  template: EndorsementTemplate,
  certificate: Buffer,
): Promise<Omit<EndorsementKey, 'certificates'> | undefined> {
  const authorized: EndorsementKey['authorized'] = (run) =>
    template.needsPolicy ? client.withEndorsementPolicy(template.nameHash, run) : run(byPassword())
  const ready = await readReady(client, template.handle)
  if (ready !== undefined && isAbout(certificate, ready)) {
    return { area: ready, authorized, use: (run) => run(template.handle) }
  }
  const { handle, area } = await client.createPrimary(HIERARCHY.endorsement, template.area)
  let context: Buffer
  try {
    context = await client.saveContext(handle)
  } finally {
    await client.flush(handle)
  }
  if (!isAbout(certificate, area)) return undefined
  return {
    area,
    authorized,
    async use(run) {
      const loaded = await client.loadContext(context)
      try {
        return await run(loaded)
      } finally {
        await client.flush(loaded)
      }
    },
  }
}

async function readReady(client: TpmClient, handle: number): Promise<Buffer | undefined> {
  try {
    return await client.readPublic(handle)
  } catch (error) {
    if (isMissingHandle(error)) return undefined
    throw error
  }
}

function isAbout(certificate: Uint8Array, area: Uint8Array): boolean {
  try {
    return vendorPublicKey(parseVendorCertificate(certificate)).equals(parseTpmPublic(area).publicKey)
  } catch (error) {
    if (AimsError.is(error)) return false
    throw error
  }
}

async function readChain(client: TpmClient): Promise<readonly Buffer[]> {
  const parts: Buffer[] = []
  for (let i = 0; i < MAX_CHAIN_INDICES; i += 1) {
    const part = await client.readNv(CHAIN_INDEX + i)
    if (part === undefined) break
    parts.push(part)
  }
  const certificates: Buffer[] = []
  for (let rest = Buffer.concat(parts); ; ) {
    const certificate = firstDer(rest)
    if (certificate === undefined) return certificates
    certificates.push(certificate)
    rest = rest.subarray(certificate.length)
  }
}

// An index may be larger than what lies in it.
function firstDer(bytes: Uint8Array): Buffer | undefined {
  const head = asBuffer(bytes)
  if (head.length < 4 || head.readUInt16BE(0) !== 0x3082) return undefined
  const length = 4 + head.readUInt16BE(2)
  return length > head.length ? undefined : head.subarray(0, length)
}
