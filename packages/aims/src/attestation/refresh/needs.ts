import { asBuffer } from '../../base/bytes.ts'
import { AimsError } from '../../base/errors.ts'
import type { DcapTee } from '../dcap/names.ts'
import { unpackQuote } from '../dcap/packaging.ts'
import { readPckExtension } from '../dcap/pck.ts'
import { parseQuote } from '../dcap/quote.ts'
import { readSnpEvidence } from '../sev-snp/evidence.ts'
import type { SnpProduct } from '../sev-snp/product.ts'
import { parseSnpReport } from '../sev-snp/report.ts'
import { parseVendorCertificates } from '../x509/vendor-certificate.ts'
import type { SnpChip } from './amd.ts'

/**
 * Which TCB info a quote of SGX or TDX needs. Nothing is verified: whoever sent the quote chooses what is fetched, among
 * what Intel publishes.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported`, `attestation.collateral_malformed`
 */
export function unverifiedDcapNeeds(evidence: Uint8Array): { readonly tee: DcapTee; readonly fmspc: string } {
  const { quote } = unpackQuote(evidence)
  const { pckChain, report } = parseQuote(quote)
  const [leaf] = parseVendorCertificates(Buffer.from(asBuffer(pckChain).toString('latin1').replaceAll('\0', '')))
  if (leaf === undefined) throw new AimsError('attestation.malformed', 'the quote carries no PCK certificate')
  return { tee: report.kind === 'sgx' ? 'sgx' : 'tdx', fmspc: readPckExtension(leaf).fmspc }
}

/**
 * Which certificate of AMD a report needs; `undefined` where the service has none, as the chip is masked or a cloud
 * provider's key signed. Nothing is verified.
 *
 * @param product - For reports of version 2, which do not name it.
 * @throws {@link AimsError} `attestation.malformed`, `attestation.unsupported`
 */
export function unverifiedSnpNeeds(evidence: Uint8Array, product?: SnpProduct): SnpChip | undefined {
  const report = parseSnpReport(readSnpEvidence(evidence).report)
  const named = report.product ?? product
  if (named === undefined)
    throw new AimsError('attestation.unsupported', 'a report of version 2 does not name the product')
  const { chipId, reportedTcb } = report.fieldsOf(named)
  if (chipId === undefined || report.signingKey === 'VLEK') return undefined
  return { product: named, chipId, tcb: reportedTcb }
}
