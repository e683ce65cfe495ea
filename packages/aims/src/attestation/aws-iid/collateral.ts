import { asBuffer } from '../../base/bytes.ts'
import { AimsError, refuseAs } from '../../base/errors.ts'
import { isJsonObject, parseJsonObject } from '../../base/json.ts'
import { encodePem } from '../../base/pem.ts'
import { type CollateralFile, type CollateralSource, collateralOf } from '../collateral.ts'

/**
 * Makes a collateral source of loose files: an index of region certificates as JSON (`{"rsa2048": {"eu-west-1": {"pem":
 * "..."}}}`, with any names for the groups), and certificates in PEM or DER. Nothing of it is trusted: certificates count
 * only where their fingerprints are configured.
 *
 * @throws {@link AimsError} `attestation.collateral_malformed`
 */
export function awsIidCollateral(files: readonly CollateralFile[]): CollateralSource {
  const names = new Map<string, string>()
  const add = (region: string, pem: string): void => {
    const name = `aws/iid/${region}.pem`
    names.set(name, `${names.get(name) ?? ''}${pem.trimEnd()}\n`)
  }
  for (const { bytes } of files) {
    if (bytes[0] === 0x7b) readIndex(bytes, add)
    else add('certificates', pemOf(bytes))
  }
  return collateralOf(new Map([...names].map(([name, pem]) => [name, Buffer.from(pem)])))
}

function readIndex(bytes: Uint8Array, add: (region: string, pem: string) => void): void {
  const index = refuseAs('attestation.collateral_malformed', 'the index of AWS certificates is not strict JSON', () =>
    parseJsonObject(bytes, { maxLength: 1_048_576 }),
  )
  for (const group of Object.values(index)) {
    if (!isJsonObject(group)) throw malformed()
    for (const [region, entry] of Object.entries(group)) {
      const pem = isJsonObject(entry) ? entry.pem : entry
      if (typeof pem !== 'string') throw malformed()
      // A certificate that is listed for no region is one for any.
      add(/^[a-z]{2,}(?:-[a-z]+)+-[0-9]+$/.test(region) ? region : 'certificates', pem)
    }
  }
}

// DER goes in as PEM, so that files can be put together.
function pemOf(bytes: Uint8Array): string {
  return bytes[0] === 0x30 ? encodePem('CERTIFICATE', bytes) : asBuffer(bytes).toString('latin1')
}

function malformed(): AimsError {
  return new AimsError('attestation.collateral_malformed', 'an index of AWS certificates maps regions to PEM')
}
