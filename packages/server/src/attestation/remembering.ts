import { checkTpmProgress, type HighestSeen, type TpmClaims, type TpmVerifier } from 'aims/attestation'
import { AimsError, isJsonObject, parseJson } from 'aims/base'
import type { EvidenceMemory } from '../store/evidence-memory.ts'

/** The highest numbers of vendors' statements, in the store. */
export function highestSeen(memory: EvidenceMemory): HighestSeen {
  return {
    get(name) {
      const text = memory.get(`highest ${name}`)
      return text === undefined ? undefined : BigInt(text)
    },
    set: (name, number) => memory.set(`highest ${name}`, String(number)),
  }
}

/**
 * Refuses a TPM that has gone back since its last authentic statement, and remembers where it stands now. Only the TPM
 * itself can move that forward: what it signed has been verified, for a challenge of this server.
 */
export function rememberingTpm(verifier: TpmVerifier, memory: EvidenceMemory): TpmVerifier {
  return {
    ...verifier,
    authenticate(evidence, context) {
      const authenticated = verifier.authenticate(evidence, context)
      advanceTpm(memory, authenticated.attested, authenticated.claims)
      return authenticated
    },
  }
}

/** Notes where a TPM stands. @throws {@link AimsError} `attestation.stale`, `attestation.tcb_out_of_date`: it went back */
export function advanceTpm(
  memory: EvidenceMemory,
  attested: string,
  { clock: { clock, resetCount, restartCount }, firmwareVersion }: Pick<TpmClaims, 'clock' | 'firmwareVersion'>,
): void {
  const name = `progress ${attested}`
  const now: Progress = { clock, resetCount, restartCount, firmwareVersion }
  const before = memory.get(name)
  if (before !== undefined) checkTpmProgress(readProgress(before), now)
  memory.set(
    name,
    JSON.stringify(now, (_, value) => (typeof value === 'bigint' ? String(value) : value)),
  )
}

type Progress = Parameters<typeof checkTpmProgress>[0]

function readProgress(text: string): Progress {
  const value = parseJson(text)
  const { clock, resetCount, restartCount, firmwareVersion } = isJsonObject(value) ? value : {}
  if (typeof resetCount !== 'number' || typeof restartCount !== 'number') {
    throw new AimsError('operation.store_damaged', 'what is remembered of a TPM is malformed')
  }
  return { clock: BigInt(String(clock)), resetCount, restartCount, firmwareVersion: BigInt(String(firmwareVersion)) }
}
