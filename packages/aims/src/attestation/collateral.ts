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
