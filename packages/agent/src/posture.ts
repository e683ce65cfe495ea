import type { AttestationResult } from 'aims/attestation'

/** What is told to others about an attestation. */
export interface Posture {
  readonly type: string
  readonly binding: string
  readonly selectors: readonly string[]
}

// Well below what the server takes (128) and what fits into a record (256, and 16 KiB of everything).
const MAX_SELECTORS = 96
const MAX_LENGTH = 8192
const SUPPLEMENTARY = /^unix:supplementary_/

/**
 * What the server and the log are told about an attestation: the selectors that are needed, whatever they are, and
 * others as long as there is room, supplementary groups last. A user may be in thousands of groups.
 *
 * Nothing is decided by it but what the needed ones decide: entries have been matched against all selectors before.
 */
export function postureOf(attestation: AttestationResult, needed: readonly string[] = []): Posture {
  const { type, binding, selectors } = attestation
  const has = new Set(needed)
  const others = selectors.filter((one) => !has.has(one))
  const shown = selectors.filter((one) => has.has(one))
  let room = MAX_LENGTH - shown.join('').length
  for (const isLast of [false, true]) {
    for (const one of others.filter((other) => SUPPLEMENTARY.test(other) === isLast)) {
      if (shown.length >= MAX_SELECTORS || one.length > room) break
      shown.push(one)
      room -= one.length
    }
  }
  const chosen = new Set(shown)
  return { type, binding, selectors: selectors.filter((one) => chosen.has(one)) }
}
