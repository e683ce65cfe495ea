/** Counts what each user holds, and says no above a limit: one user must not use up what all need. */
export class Census {
  readonly #limit: number
  readonly #counts = new Map<number, number>()

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Takes one more for this user, or says no. */
  enter(uid: number): boolean {
    const count = this.#counts.get(uid) ?? 0
    if (count >= this.#limit) return false
    this.#counts.set(uid, count + 1)
    return true
  }

  /** Gives one back. */
  leave(uid: number): void {
    const count = (this.#counts.get(uid) ?? 1) - 1
    if (count === 0) this.#counts.delete(uid)
    else this.#counts.set(uid, count)
  }
}
