import {
  type Authenticated,
  type AzureCloud,
  authenticateEvidence,
  type EvidenceContext,
  type EvidenceVerifier,
  type ExpectedBinding,
} from 'aims/attestation'
import type { Command } from 'commander'
import { collect } from './commands/verify/options.ts'
import { collateralSource, readCollateral, readPublicKey, readRoots } from './evidence-files.ts'
import {
  EVIDENCE_TYPES,
  type EvidenceSettings,
  type EvidenceTrust,
  type EvidenceType,
  findEvidenceType,
} from './evidence-types.ts'
import { UsageError } from './exit.ts'

/** Options that say whom to trust. */
export interface TrustOptions {
  readonly collateral: readonly string[]
  readonly root: readonly string[]
  readonly region: readonly string[]
  readonly issuer: readonly string[]
  readonly tenant: readonly string[]
  readonly cloud: readonly string[]
  readonly cluster?: string
  readonly legacy?: true
  readonly online?: true
  readonly acceptUnratedTcb?: true
}

/** Options that say what the evidence must be bound to. */
export interface BindingOptions {
  readonly nonce?: string
  readonly key?: string
  readonly audience?: string
  readonly trustDomain?: string
}

/** Adds the options that say whom to trust. */
export function trustOptions(command: Command): Command {
  return command
    .option('--collateral <path>', 'a file of the vendor, or a directory of them; repeatable', collect, [])
    .option(
      '--root <file>',
      'trust this root (PEM, DER or SHA-256 in hex), not those built in; repeatable',
      collect,
      [],
    )
    .option('--region <name>', 'only this region of AWS; repeatable', collect, [])
    .option('--issuer <uri>', 'the iss of the tokens of a cluster, tenant or GitHub server; repeatable', collect, [])
    .option('--tenant <id>', 'a tenant of Azure; repeatable', collect, [])
    .option('--cloud <name>', 'a cloud of Azure: public, us-government, china; repeatable', collect, [])
    .option('--cluster <name>', 'what you call the Kubernetes cluster')
    .option('--legacy', 'also accept the weak forms a vendor still hands out')
    .option('--online', 'aws-sts: ask AWS, the only one who can say whether a signed request is genuine')
    .option('--accept-unrated-tcb', 'DANGEROUS: accept Intel quotes without the collateral that rates their firmware')
}

/** Adds the options that say what the evidence must be bound to. */
export function bindingOptions(command: Command): Command {
  return command
    .option('--nonce <hex>', 'the user data that were signed; with --key the 32 bytes of the challenge')
    .option('--key <file>', 'the public key that is bound, PEM or DER (SubjectPublicKeyInfo)')
    .option('--audience <uri>', 'the audience of a token')
    .option('--trust-domain <name>', 'with --key, for tokens: the trust domain in the audience of the challenge')
}

/** `--type`. */
export function readType(name: string): EvidenceType {
  const type = findEvidenceType(name)
  if (type === undefined) {
    throw new UsageError(
      `--type takes one of ${EVIDENCE_TYPES.map((one) => one.type).join(', ')}; aims attest types lists other names`,
    )
  }
  return type
}

/** Makes the verifiers of the types with what the options trust. */
export function readTrust(options: TrustOptions, isForSeveral = false): (type: EvidenceType) => EvidenceVerifier {
  const { fingerprints, files: rootFiles } = readRoots(options.root)
  // Among files for several types each type passes over those of the others.
  const files = [...readCollateral(options.collateral), ...rootFiles].map((file) =>
    isForSeveral ? { ...file, isFound: true } : file,
  )
  const settings = readSettings(options)
  return (type) => {
    const trust: EvidenceTrust = {
      ...collateralSource(files, type.collateral),
      ...(fingerprints.size === 0 ? {} : { roots: fingerprints }),
      settings,
    }
    return type.verifier(trust)
  }
}

function readSettings(options: TrustOptions): EvidenceSettings {
  const { region, issuer, tenant, cloud, cluster, legacy, online, acceptUnratedTcb } = options
  return {
    ...(region.length === 0 ? {} : { regions: region }),
    ...(issuer.length === 0 ? {} : { issuers: issuer }),
    ...(tenant.length === 0 ? {} : { tenants: tenant }),
    ...(cloud.length === 0 ? {} : { clouds: cloud.map(readCloud) }),
    ...(cluster === undefined ? {} : { cluster }),
    ...(legacy === undefined ? {} : { legacy }),
    ...(online === undefined ? {} : { online }),
    ...(acceptUnratedTcb === undefined ? {} : { acceptUnratedTcb }),
  }
}

const CLOUDS: readonly AzureCloud[] = ['public', 'us-government', 'china']

function readCloud(name: string): AzureCloud {
  const cloud = CLOUDS.find((one) => one === name)
  if (cloud === undefined) throw new UsageError(`--cloud takes one of ${CLOUDS.join(', ')}`)
  return cloud
}

/** `--nonce`, `--key`, `--audience`: without any of them nothing is compared. */
export function readExpected(type: EvidenceType, options: BindingOptions): ExpectedBinding {
  const { nonce, key, audience, trustDomain } = options
  if (audience !== undefined) {
    if (nonce !== undefined || key !== undefined) throw new UsageError('give --audience alone, or --nonce')
    return { kind: 'audience', audience }
  }
  if (nonce === undefined) {
    if (key !== undefined) throw new UsageError('--key needs --nonce')
    return { kind: 'unchecked' }
  }
  if (key === undefined) return { kind: 'data', data: readNonce(nonce, type.nonce === 'text') }
  const bytes = readNonce(nonce, false)
  if (bytes.length !== 32) throw new UsageError('with --key, --nonce takes the 32 bytes of the challenge in hex')
  if (type.nonce === 'audience' && trustDomain === undefined) {
    throw new UsageError('tokens carry a challenge in their audience: give --trust-domain too, or --audience alone')
  }
  return {
    kind: 'challenge',
    challenge: { nonce: bytes, publicKey: readPublicKey(key) },
    trustDomain: trustDomain ?? '',
  }
}

// A platform that takes characters is told apart from one that takes bytes by what the hex would mean.
function readNonce(text: string, isText: boolean): Buffer {
  const isHex = /^(?:[0-9a-fA-F]{2})+$/.test(text)
  const bytes = Buffer.from(text, 'hex')
  if (isText && text !== '' && !(isHex && bytes.every((byte) => byte >= 0x20 && byte < 0x7f))) return Buffer.from(text)
  if (!isHex) throw new UsageError('--nonce takes bytes in hex')
  return bytes
}

/** Authenticates evidence, and adds a warning where nothing says whose it is. */
export async function authenticateGiven(
  verifier: EvidenceVerifier,
  evidence: Uint8Array,
  context: EvidenceContext,
): Promise<{ readonly evidence: Authenticated; readonly warnings: readonly string[] }> {
  const authenticated = await authenticateEvidence(verifier, evidence, context)
  const isUnchecked = context.expected.kind === 'unchecked'
  return { evidence: authenticated, warnings: isUnchecked ? [UNCHECKED] : [] }
}

const UNCHECKED = "binding was not compared: this evidence may be anybody's and of any age; pass --nonce or --audience"
