import { asBuffer } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, parseJsonObject } from '../../base/json.ts'
import { parsePem } from '../../base/pem.ts'
import { type DcapTee, dcapCollateralNames, type PckCa } from '../dcap/names.ts'
import { refuseOlderList } from './lists.ts'
import type { FreshFile, RefreshTask } from './refresh.ts'

/** Where Intel's collateral comes from. */
export interface IntelRefresh {
  readonly tees: readonly DcapTee[]
  /** Families and models of platforms, hex of 6 bytes, as the PCK certificates in quotes name them. */
  readonly fmspcs: readonly string[]
  /** Default `https://api.trustedservices.intel.com`; or a caching service (PCCS) of your own. */
  readonly service?: string
  /** Default `https://certificates.trustedservices.intel.com/IntelSGXRootCA.der`. */
  readonly rootCrl?: string
}

/** Hosts of Intel. */
export const INTEL_HOSTS = ['api.trustedservices.intel.com', 'certificates.trustedservices.intel.com'] as const

const CAS: readonly PckCa[] = ['platform', 'processor']

/**
 * What must be fetched for quotes of these platforms: TCB info and enclave identity with their issuer chains, and the
 * revocation lists of the root and both CAs.
 *
 * @see Intel SGX and TDX Provisioning Certification Service API v4
 */
export function intelTasks(options: IntelRefresh): readonly RefreshTask<'intel'>[] {
  const { tees, fmspcs, service = `https://${INTEL_HOSTS[0]}` } = options
  const { rootCrl = `https://${INTEL_HOSTS[1]}/IntelSGXRootCA.der` } = options
  const wrong = fmspcs.find((fmspc) => !/^[0-9a-fA-F]{12}$/.test(fmspc))
  if (wrong !== undefined) throw new TypeError('an FMSPC has 12 hex digits')
  const base = (tee: DcapTee): string => `${service}/${tee}/certification/v4`
  const names = dcapCollateralNames
  return [
    ...tees.flatMap((tee) => [
      ...fmspcs.map((fmspc): RefreshTask<'intel'> => {
        const id = fmspc.toLowerCase()
        const chain = {
          name: names.tcbInfoChain(tee, id),
          headers: ['tcb-info-issuer-chain', 'sgx-tcb-info-issuer-chain'],
        }
        return signedJson(
          `${base(tee)}/tcb?fmspc=${id}`,
          names.tcbInfo(tee, id),
          'tcbInfo',
          chain,
          (info) => String(info.fmspc).toLowerCase() === id,
        )
      }),
      signedJson(
        `${base(tee)}/qe/identity?update=standard`,
        names.qeIdentity(tee),
        'enclaveIdentity',
        { name: names.qeIdentityChain(tee), headers: ['sgx-enclave-identity-issuer-chain'] },
        ({ id }) => id === (tee === 'tdx' ? 'TD_QE' : 'QE'),
      ),
    ]),
    // The lists of the CAs are those of SGX for both.
    ...CAS.map((ca) => list(`${base('sgx')}/pckcrl?ca=${ca}&encoding=der`, names.pckCrl(ca))),
    list(rootCrl, names.rootCrl),
  ]
}

function signedJson(
  url: string,
  name: string,
  member: string,
  chain: { readonly name: string; readonly headers: readonly string[] },
  isAsked: (inner: JsonObject) => boolean,
): RefreshTask<'intel'> {
  return {
    purpose: 'intel',
    url,
    name,
    types: ['application/json'],
    read(body, headers) {
      const inner = innerOf(body, member)
      if (!isAsked(inner)) throw new AimsError('attestation.collateral_invalid', 'the answer is about something else')
      const header = chain.headers.map((one) => headers.get(one)).find((one) => one !== undefined)
      return [
        { name: chain.name, bytes: readChain(header), check: () => {} },
        { name, bytes: body, check: (present) => refuseOlder(inner, present, member) },
      ]
    },
  }
}

function innerOf(body: Uint8Array, member: string): JsonObject {
  const outer = refuseAs('attestation.collateral_malformed', 'the answer is not strict JSON', () =>
    parseJsonObject(body, { maxLength: 1_048_576, maxMembers: 100_000 }),
  )
  const inner = outer[member]
  if (!isJsonObject(inner))
    throw new AimsError('attestation.collateral_malformed', 'the answer lacks its signed member')
  return inner
}

// The number first: Intel counts it up when the data change, and dates each answer anew.
function refuseOlder(inner: JsonObject, present: Uint8Array | undefined, member: string): void {
  if (present === undefined) return
  const before = innerOf(present, member)
  const [was, is] = [before, inner].map((one) => Number(one.tcbEvaluationDataNumber ?? 0)) as [number, number]
  const [issued, issues] = [before, inner].map((one) => Date.parse(String(one.issueDate))) as [number, number]
  if (!(is >= was && issues >= issued)) {
    throw new AimsError('attestation.collateral_rollback', 'the answer is older than the file at hand')
  }
}

function readChain(header: string | undefined): Buffer {
  return refuseAs('attestation.collateral_malformed', 'the issuer chain in the header is not URL-encoded PEM', () => {
    let pem: string
    try {
      pem = decodeURIComponent(header ?? '')
    } catch (cause) {
      throw new AimsError('attestation.collateral_malformed', 'not URL-encoded', { cause })
    }
    if (parsePem(pem).some(({ label }) => label !== 'CERTIFICATE')) throw new AimsError('pem.malformed', 'no chain')
    return Buffer.from(pem)
  })
}

function list(url: string, name: string): RefreshTask<'intel'> {
  return {
    purpose: 'intel',
    url,
    name,
    read(body): readonly FreshFile[] {
      const der = derOf(body)
      return [{ name, bytes: der, check: (present) => refuseOlderList(der, present) }]
    },
  }
}

// A caching service answers in hex.
function derOf(body: Uint8Array): Uint8Array {
  const text = asBuffer(body).toString('latin1').trim()
  return /^(?:[0-9a-fA-F]{2})+$/.test(text) ? Buffer.from(text, 'hex') : body
}
