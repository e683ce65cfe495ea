import {
  AWS_IID_CERTIFICATES,
  awsStsVerifier,
  type EvidenceVerifier,
  type Exchange,
  exchangeThrough,
} from 'aims/attestation'
import { isJsonObject, outbound, parseJson } from 'aims/base'
import type { EvidenceTrust } from './evidence-types.ts'

const RECORDED = 'AWS was not asked: what it answers is a file that was given, and may belong to another request'

/**
 * Only AWS can say whether a signed request is genuine: it is asked with `--online`. Without, an answer that was recorded may be given
 * as collateral; it is believed, with a warning.
 */
export function stsVerifier({ files, settings }: EvidenceTrust): EvidenceVerifier {
  const { regions = Object.keys(AWS_IID_CERTIFICATES), online } = settings
  if (online === true) return awsStsVerifier({ regions, exchange: askAws(regions) })
  const body = files.map(({ bytes }) => bytes).find(isAnswer)
  const verifier = awsStsVerifier({ regions, exchange: recorded(body) })
  return {
    ...verifier,
    appraise: (evidence, policy) => [...verifier.appraise(evidence as never, policy as never), RECORDED],
  }
}

function askAws(regions: readonly string[]): Exchange {
  const suffix = (region: string): string => (region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com')
  const hosts = ['sts.amazonaws.com', ...regions.map((region) => `sts.${region}.${suffix(region)}`)]
  return exchangeThrough(outbound({ purposes: { 'aws-sts': { hosts } } }), 'aws-sts')
}

function recorded(body: Uint8Array | undefined): Exchange {
  return async () => {
    if (body === undefined) throw new Error('not asked: give --online, or the recorded answer as --collateral')
    return { status: 200, headers: { 'content-type': 'application/json' }, body }
  }
}

function isAnswer(bytes: Uint8Array): boolean {
  try {
    const value = parseJson(bytes)
    return isJsonObject(value) && isJsonObject(value.GetCallerIdentityResponse)
  } catch {
    return false
  }
}
