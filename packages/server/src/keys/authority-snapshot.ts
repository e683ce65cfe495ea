import { type Signer, verificationKey } from 'aims/base'
import { createX509Authority, type TrustBundle, type X509Authority } from 'aims/credentials'
import type { TrustDomain } from 'aims/identifiers'
import type { KeyPurpose, StoredKey } from '../store/key-store.ts'
import type { Meta } from '../store/meta.ts'
import type { StandingSigners } from './authority-types.ts'

/** What the keys make together, worked out once per change. Nothing is active before the first start has made keys. */
export interface AuthoritySnapshot {
  readonly x509: X509Authority | undefined
  readonly jwt: Signer | undefined
  readonly wit: Signer | undefined
  readonly bundle: TrustBundle
  readonly standing: StandingSigners
}

/** Works it out. */
export function snapshotOf(
  trustDomain: TrustDomain,
  keys: readonly StoredKey[],
  meta: Meta,
  refreshHint: number,
  neighbours: readonly TrustBundle[] = [],
): AuthoritySnapshot {
  const of = (purpose: KeyPurpose) => keys.filter((key) => key.purpose === purpose)
  const active = (purpose: KeyPurpose) => of(purpose).find(({ state }) => state === 'active')
  const tokenKeys = (purpose: 'jwt' | 'wit'): TrustBundle['jwtAuthorities'] =>
    new Map([
      ...neighbours.flatMap((one) => [...(purpose === 'jwt' ? one.jwtAuthorities : one.witAuthorities)]),
      ...of(purpose).map(
        ({ key: { kid, publicKey, alg } }) => [kid, verificationKey(publicKey, { alg, kid })] as const,
      ),
    ])
  const standing = (purpose: KeyPurpose) => of(purpose).filter(({ state }) => state !== 'tainted')
  const kids = (purpose: KeyPurpose) => standing(purpose).map(({ key }) => key.kid)
  const authority = ({ key, certificate, chain = [] }: StoredKey): readonly X509Authority[] =>
    certificate === undefined ? [] : [createX509Authority({ trustDomain, signer: key, certificate, chain })]
  const ca = active('x509-ca')
  return {
    x509: ca && authority(ca)[0],
    jwt: active('jwt')?.key,
    wit: active('wit')?.key,
    bundle: {
      trustDomain,
      x509Authorities: rootsOf(of('x509-ca'), neighbours),
      jwtAuthorities: tokenKeys('jwt'),
      witAuthorities: tokenKeys('wit'),
      sequence: BigInt(meta.counter('bundle_sequence')),
      refreshHint,
    },
    standing: {
      'x509-ca': standing('x509-ca')
        .flatMap(authority)
        .map(({ keyId }) => Buffer.from(keyId).toString('hex')),
      jwt: kids('jwt'),
      wit: kids('wit'),
    },
  }
}

// What others trust: the roots, each once, however many CAs of this server hang below it.
function rootsOf(cas: readonly StoredKey[], neighbours: readonly TrustBundle[]): readonly Uint8Array[] {
  const own = cas.map(({ certificate, chain }) => chain?.at(-1) ?? certificate).filter((root) => root !== undefined)
  const roots = [...own, ...neighbours.flatMap(({ x509Authorities }) => x509Authorities)]
  return [...new Map(roots.map((root) => [Buffer.from(root).toString('base64'), root])).values()]
}
