import { AimsError } from '../../base/errors.ts'
import { base64Member, unpackEvidence } from '../packaging.ts'
import { parseRevocationList, type RevocationList } from '../x509/revocation.ts'
import { parseVendorCertificates, type VendorCertificate } from '../x509/vendor-certificate.ts'
import { readCertificateTable } from './certificate-table.ts'
import { looksLikeReport, REPORT_SIZE } from './report.ts'
import { commonNameOf, endorsementKind } from './vek.ts'

/** A report with what came along. Nothing is verified. */
export interface SnpEvidence {
  readonly report: Uint8Array
  readonly certificates: readonly VendorCertificate[]
  readonly lists: readonly RevocationList[]
}

/** Bytes: a report and a table of a few pages, in base64 or hex. */
export const MAX_SNP_EVIDENCE = 131_072
const MAX_CERTIFICATES = 8

/**
 * Takes evidence apart: a report of 1184 bytes; an extended report, which goes on with its certificate table; or JSON
 * `{"report": base64, "certificates": base64}`, where `certificates` is the table (`auxblob` of configfs-tsm), PEM, or
 * DER certificates one after the other, and may be absent.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.collateral_malformed` for a revocation list in the table
 */
export function readSnpEvidence(evidence: Uint8Array): SnpEvidence {
  const unpacked = unpackEvidence(evidence, looksLikeReport)
  if (unpacked.kind === 'binary') {
    const report = unpacked.bytes.subarray(0, REPORT_SIZE)
    const table = unpacked.bytes.subarray(REPORT_SIZE)
    return { report, ...(table.length === 0 ? NOTHING : readTable(table)) }
  }
  const { report, certificates, ...others } = unpacked.object
  if (report === undefined || Object.keys(others).length > 0) {
    throw new AimsError('attestation.malformed', 'JSON evidence has the members report and certificates')
  }
  return {
    report: base64Member(unpacked.object, 'report'),
    ...(certificates === undefined ? NOTHING : readCertificates(base64Member(unpacked.object, 'certificates'))),
  }
}

type Parts = Omit<SnpEvidence, 'report'>
const NOTHING: Parts = { certificates: [], lists: [] }
const PEM = 0x2d
const DER_SEQUENCE = 0x30

/** Certificates as they are handed around: a table, PEM, or DER. */
function readCertificates(bytes: Uint8Array): Parts {
  // No GUID of AMD's begins like PEM or DER.
  if (bytes[0] !== PEM && bytes[0] !== DER_SEQUENCE) return readTable(bytes)
  const certificates = parseVendorCertificates(bytes)
  if (certificates.length > MAX_CERTIFICATES) throw malformed('too many certificates')
  return { certificates, lists: [] }
}

function readTable(bytes: Uint8Array): Parts {
  const table = readCertificateTable(bytes)
  const certificates: VendorCertificate[] = []
  for (const [entry, value] of table) {
    if (entry === 'CRL') continue
    const [certificate, ...more] = parseVendorCertificates(value)
    if (certificate === undefined || more.length > 0) throw malformed('an entry of the table is not one certificate')
    const kind = endorsementKind(certificate) ?? (commonNameOf(certificate)?.startsWith('ARK-') ? 'ARK' : 'ASK')
    if (kind !== entry) throw malformed('an entry of the table holds the certificate of another')
    certificates.push(certificate)
  }
  const list = table.get('CRL')
  return { certificates, lists: list === undefined ? [] : [parseRevocationList(list)] }
}

function malformed(message: string): AimsError {
  return new AimsError('attestation.malformed', message)
}
