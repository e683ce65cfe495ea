/** The nine layers, in order; each is a folder of `packages/aims/src`. */
export type Layer =
  | 'identifiers'
  | 'credentials'
  | 'attestation'
  | 'provisioning'
  | 'authentication'
  | 'authorization'
  | 'monitoring'
  | 'policy'
  | 'compliance'

/** As strong as the source says it. `OURS`: the source leaves it open, or says it without a capital letter. */
export type Level = 'MUST' | 'MUST NOT' | 'SHOULD' | 'SHOULD NOT' | 'MAY' | 'OURS'

/** `implemented` means that a test cites the id. What this project never plays a part in is `not-applicable`. */
export type Status = 'implemented' | 'planned' | 'not-applicable'

export interface Requirement {
  /** `layer.topic.nn`. Never renumbered: tests, code and reports cite it. */
  readonly id: string
  readonly layer: Layer
  /** Document with its revision, and section. */
  readonly source: string
  readonly level: Level
  /** In our own words. */
  readonly text: string
  readonly status: Status
  readonly note?: string
}

/** One row of a topic: what follows the last dot of the id, level, status, text, note. */
export type Row = readonly [number: string, level: Level, status: Status, text: string, note?: string]

/** The rows of one topic of one layer, all from one source. */
export function topic(layer: Layer, name: string, source: string, rows: readonly Row[]): readonly Requirement[] {
  return rows.map(([number, level, status, text, note]) => ({
    id: `${layer}.${name}.${number}`,
    layer,
    source,
    level,
    text,
    status,
    ...(note === undefined ? {} : { note }),
  }))
}
