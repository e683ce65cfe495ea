import { AimsError } from '../../base/errors.ts'
import type { VerifiedWit } from '../wit/wit.ts'
import type { RevocableCredential, RevocationSource } from './revocation.ts'

/**
 * Refuses a credential that is revoked, and one of which nobody knows: a list that is stale or was never seen may be the
 * one that names it. Without a source nothing is checked.
 *
 * @throws {@link AimsError} `credential.revoked`, `credential.revocation_unknown`
 */
export function requireNotRevoked(
  source: RevocationSource | undefined,
  credential: RevocableCredential,
  now: number,
): void {
  if (source === undefined) return
  const status = source.statusOf(credential, now)
  if (status === 'revoked') throw new AimsError('credential.revoked', 'the credential was revoked')
  // Nothing but this one word lets a credential pass.
  if (status !== 'good') {
    throw new AimsError('credential.revocation_unknown', 'no current revocation list says whether it was revoked')
  }
}

/** Refuses a WIT that was revoked. @throws {@link AimsError} `credential.revoked`, `credential.revocation_unknown` */
export function requireLiveWit(
  source: RevocationSource | undefined,
  { subject, issuedAt, id, confirmation }: VerifiedWit,
  now: number,
): void {
  const keyThumbprint = (): string => confirmation.thumbprint
  requireNotRevoked(source, { kind: 'wit', subject, issuedAt, id, keyThumbprint }, now)
}
