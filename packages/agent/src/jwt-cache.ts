import type { AttestationResult } from 'aims/attestation'
import type { Clock } from 'aims/base'
import type { RevocableCredential } from 'aims/credentials'
import type { RegistrationEntry } from 'aims/provisioning'
import { isRefusal } from './identity-cache.ts'
import type { GrantedToken, ServerClient } from './server-client.ts'

/** JWT-SVIDs by entry and audiences, given again until half of their life is over. */
export interface JwtCache {
  /** @throws {@link AimsError} what the server answers, unless a token that is still valid is held */
  token(entry: RegistrationEntry, audiences: readonly string[], attestation: AttestationResult): Promise<string>
}

interface Held extends GrantedToken {
  readonly renewAt: number
}

const MAX_HELD = 4096
/** Seconds of life that a token must have left to be worth handing out. */
const USEFUL = 10

/**
 * Makes an empty cache.
 *
 * @param isRevoked - Whether it was revoked. Then it is given to nobody.
 * @param stands - Whether what this authority signed stands. What does not is not given again while the server answers.
 */
export function createJwtCache(
  server: ServerClient,
  clock: Clock,
  stands: (signer: string | undefined) => boolean = () => true,
  isRevoked: (credential: RevocableCredential) => boolean = () => false,
): JwtCache {
  const held = new Map<string, Held>()
  return {
    async token(entry, audiences, attestation) {
      const key = JSON.stringify([entry.id, entry.revision, ...audiences])
      const now = clock()
      const known = held.get(key)
      const current = known?.revocable !== undefined && isRevoked(known.revocable) ? undefined : known
      if (current !== undefined && now < current.renewAt && stands(current.signer)) return current.token
      try {
        const issued = await server.issueJwt(entry, audiences, attestation)
        // The oldest entry makes room: maps keep the order in which keys came.
        held.delete(key)
        if (held.size >= MAX_HELD) held.delete(held.keys().next().value ?? '')
        held.set(key, {
          ...issued,
          renewAt: now + (issued.expiresAt - now) / 2,
        })
        return issued.token
      } catch (error) {
        if (current === undefined || isRefusal(error) || now > current.expiresAt - USEFUL) throw error
        return current.token
      }
    },
  }
}
