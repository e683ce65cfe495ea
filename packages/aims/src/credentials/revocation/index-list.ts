import { ancestorsOf } from '../../identifiers/sub-agent-id.ts'
import type { RevocableCredential, Revocation, RevocationList } from './revocation.ts'

/** Answers whether a list names a credential, without looking through it. */
export type RevocationIndex = (credential: RevocableCredential) => boolean

const ID_TYPE = { wit: 'token', 'jwt-svid': 'token', 'x509-svid': 'certificate' } as const

/** Sorts a list for look-ups: one per identity above the subject, however long the list is. */
export function indexRevocations({ revocations }: Pick<RevocationList, 'revocations'>): RevocationIndex {
  const before = new Map<string, number>()
  const values: { readonly [type in Exclude<Revocation['type'], 'subject'>]: Set<string> } = {
    token: new Set(),
    certificate: new Set(),
    key: new Set(),
  }
  for (const one of revocations) {
    if (one.type !== 'subject') values[one.type].add(one.value)
    else before.set(one.value, Math.max(one.before, before.get(one.value) ?? 0))
  }
  if (revocations.length === 0) return () => false

  return ({ subject, issuedAt = 0, kind, id, keyThumbprint }) => {
    const isNamed = (one: string): boolean => issuedAt < (before.get(one) ?? 0)
    if (before.size > 0 && (isNamed(subject) || ancestorsOf(subject).some(isNamed))) return true
    if (id !== undefined && values[ID_TYPE[kind]].has(id)) return true
    return values.key.size > 0 && keyThumbprint !== undefined && values.key.has(keyThumbprint())
  }
}
