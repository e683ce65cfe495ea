import { AimsError } from '../base/errors.ts'

/**
 * Keys, certificates and statements of vendors, by name, e.g. `intel/tdx/tcb/00806f050000.json`. A cache or a
 * directory: it never fetches, so that verifying evidence never depends on the network. Names are lower case; each type
 * documents the ones it asks for.
 */
export interface CollateralSource {
  /** `undefined`: not at hand. */
  get(name: string): Uint8Array | undefined
}

/** Collateral that is given with the evidence, or in tests. */
export function collateralOf(
  files: Readonly<Record<string, Uint8Array>> | ReadonlyMap<string, Uint8Array>,
): CollateralSource {
  const map = files instanceof Map ? files : new Map(Object.entries(files))
  return { get: (name) => map.get(name) }
}

/** Asks each source in turn. */
export function firstOf(...sources: readonly CollateralSource[]): CollateralSource {
  return {
    get(name) {
      for (const source of sources) {
        const found = source.get(name)
        if (found !== undefined) return found
      }
      return undefined
    },
  }
}

/** A file as an operator has it at hand, recognised by its content. */
export interface CollateralFile {
  readonly name: string
  readonly bytes: Uint8Array
}

/**
 * Remembers the highest number that each statement or revocation list of a vendor has had, under its name, so that an
 * older one that is still within its dates is not accepted again. The caller keeps it between runs.
 */
export interface HighestSeen {
  get(name: string): bigint | undefined
  set(name: string, number: bigint): void
}

/** Remembers in memory, for as long as it lives. */
export function createHighestSeen(): HighestSeen {
  return new Map<string, bigint>()
}

/**
 * Refuses collateral when any of its numbers is lower than the highest seen under its name; otherwise remembers them all.
 * For what has been authenticated only.
 *
 * @throws {@link AimsError} `attestation.collateral_rollback`
 */
export function refuseRollback(seen: HighestSeen, numbers: ReadonlyMap<string, bigint>): void {
  for (const [name, number] of numbers) {
    if (number < (seen.get(name) ?? 0n)) {
      throw new AimsError('attestation.collateral_rollback', 'a newer file of this collateral has been seen')
    }
  }
  for (const [name, number] of numbers) if (number > (seen.get(name) ?? -1n)) seen.set(name, number)
}
