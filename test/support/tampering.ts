// Evidence that somebody has changed: every refusal must be a typed one, whatever was done to the bytes.
import assert from 'node:assert/strict'

type Verify = (evidence: Uint8Array) => unknown

/** Fails unless this is refused with a code of layer 3. */
export async function assertRefused(verify: Verify, evidence: Uint8Array, what: string): Promise<void> {
  await assert.rejects(
    async () => verify(evidence),
    (error: { code?: unknown }) => {
      assert.match(String(error.code), /^attestation\./, `${what}: ${String(error)}`)
      return true
    },
    what,
  )
}

/** Flips bits, one at a time: all eight of each byte, or one of each in turn. None may be accepted. */
export async function assertNoFlipAccepted(verify: Verify, evidence: Uint8Array, bits: 1 | 8): Promise<void> {
  for (let at = 0; at < evidence.length; at += 1) {
    for (let n = 0; n < bits; n += 1) {
      const bit = bits === 8 ? n : at % 8
      const flipped = Buffer.from(evidence)
      flipped[at] = (flipped[at] as number) ^ (1 << bit)
      await assertRefused(verify, flipped, `bit ${bit} of byte ${at}`)
    }
  }
}

/** Cuts the evidence at every length, and adds to it. */
export async function assertWhole(verify: Verify, evidence: Uint8Array): Promise<void> {
  for (let length = 0; length < evidence.length; length += 1) {
    await assertRefused(verify, evidence.subarray(0, length), `cut at ${length}`)
  }
  for (const more of [Buffer.of(0), Buffer.from(evidence)]) {
    await assertRefused(verify, Buffer.concat([evidence, more]), `${more.length} bytes more`)
  }
}
