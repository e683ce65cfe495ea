import { asBuffer, decodeUtf8 } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, parseJson } from '../../base/json.ts'
import { encodePem, parsePem } from '../../base/pem.ts'
import { type CollateralFile, type CollateralSource, collateralOf } from '../collateral.ts'
import { parseRevocationList } from '../x509/revocation.ts'
import { COMMON_NAME, nameAttributes, parseVendorCertificate } from '../x509/vendor-certificate.ts'
import { type DcapTee, dcapCollateralNames, type PckCa } from './names.ts'

/**
 * Recognises files of Intel collateral by their content: answers of Intel's service for TCB info and enclave identity,
 * `QuoteCollateralV3` JSON of dcap-qvl, chains in PEM (also URL-encoded, as headers have them), certificates and
 * revocation lists in DER, PEM or hex. Unknown files are passed over. Nothing is verified: the verifier does that.
 *
 * @throws {@link AimsError} `attestation.collateral_malformed` for a bundle whose members have another form
 */
export function dcapCollateral(files: readonly CollateralFile[]): CollateralSource {
  const found = new Collected()
  for (const { bytes } of files) found.add(bytes)
  return found.source()
}

const CRLS: { readonly [commonName: string]: string } = {
  'Intel SGX Root CA': dcapCollateralNames.rootCrl,
  'Intel SGX PCK Platform CA': dcapCollateralNames.pckCrl('platform' satisfies PckCa),
  'Intel SGX PCK Processor CA': dcapCollateralNames.pckCrl('processor' satisfies PckCa),
}
const BUNDLE = ['tcb_info', 'qe_identity', 'root_ca_crl', 'pck_crl'] as const

class Collected {
  readonly #files = new Map<string, Uint8Array>()
  readonly #chainNames: string[] = []
  #certificates = ''

  add(bytes: Uint8Array): void {
    const text = bytes[0] === 0x30 ? undefined : decodeUtf8(bytes)?.trim()
    if (text === undefined) this.#addDer(bytes)
    else if (text.startsWith('{')) this.#addJson(text)
    else if (/^[0-9a-fA-F\s]+$/.test(text)) this.#addDer(Buffer.from(text.replace(/\s/g, ''), 'hex'))
    else this.#addPem(text.startsWith('-----BEGIN%20') ? decodeHeader(text) : text)
  }

  source(): CollateralSource {
    const chain = Buffer.from(this.#certificates)
    return collateralOf(new Map([...this.#files, ...this.#chainNames.map((name) => [name, chain] as const)]))
  }

  #addJson(text: string): void {
    const value = attempt(() => parseJson(text))
    if (!isJsonObject(value)) return
    if (isJsonObject(value.tcbInfo)) this.#addTcbInfo(value.tcbInfo, text)
    else if (isJsonObject(value.enclaveIdentity)) this.#addIdentity(value.enclaveIdentity, text)
    else if (BUNDLE.every((name) => name in value)) this.#addBundle(value)
  }

  #addBundle(bundle: JsonObject): void {
    const text = (name: string): string => {
      const value = bundle[name]
      if (typeof value !== 'string') throw new AimsError('attestation.collateral_malformed', `${name} is not a text`)
      return value
    }
    this.#addJson(`{"tcbInfo":${text('tcb_info')},"signature":"${text('tcb_info_signature')}"}`)
    this.#addJson(`{"enclaveIdentity":${text('qe_identity')},"signature":"${text('qe_identity_signature')}"}`)
    for (const name of ['tcb_info_issuer_chain', 'qe_identity_issuer_chain']) this.#addPem(text(name))
    for (const name of ['root_ca_crl', 'pck_crl']) this.#addDer(Buffer.from(text(name), 'hex'))
  }

  #addTcbInfo(info: JsonObject, text: string): void {
    const { fmspc } = info
    if (typeof fmspc !== 'string') return
    const tee: DcapTee = info.id === 'TDX' ? 'tdx' : 'sgx'
    this.#files.set(dcapCollateralNames.tcbInfo(tee, fmspc.toLowerCase()), Buffer.from(text))
    this.#chainNames.push(dcapCollateralNames.tcbInfoChain(tee, fmspc.toLowerCase()))
  }

  #addIdentity(identity: JsonObject, text: string): void {
    const tee: DcapTee = identity.id === 'TD_QE' ? 'tdx' : 'sgx'
    this.#files.set(dcapCollateralNames.qeIdentity(tee), Buffer.from(text))
    this.#chainNames.push(dcapCollateralNames.qeIdentityChain(tee))
  }

  #addPem(text: string): void {
    const blocks = attempt(() => parsePem(text.replaceAll('\0', ''))) ?? []
    for (const { bytes } of blocks) this.#addDer(bytes)
  }

  #addDer(bytes: Uint8Array): void {
    const list = attempt(() => parseRevocationList(bytes))
    if (list === undefined) {
      if (attempt(() => parseVendorCertificate(bytes)) !== undefined)
        this.#certificates += encodePem('CERTIFICATE', bytes)
      return
    }
    const [issuer = ''] = attempt(() => nameAttributes(list.issuer, COMMON_NAME)) ?? []
    const name = Object.hasOwn(CRLS, issuer) ? CRLS[issuer] : undefined
    if (name !== undefined) this.#files.set(name, new Uint8Array(asBuffer(bytes)))
  }
}

// A URL-encoded chain. What is not one stays as it is, and is no PEM.
function decodeHeader(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (!AimsError.is(error)) throw error
    return undefined
  }
}
