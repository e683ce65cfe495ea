/**
 * Remembers what may be used once. One store is shared by all verifiers of an audience, or a proof can be used once
 * at each of them.
 */
export interface ReplayStore {
  /**
   * Uses up a key, atomically: of any number of calls with one key, in however many threads or processes share the
   * store, one gets `true`, and the others `false` until `expiresAt` has passed.
   *
   * @param key - Any text; who it belongs to is part of it.
   * @param expiresAt - Seconds since the epoch: until when the key must be remembered.
   * @param now - Seconds since the epoch. What expired before may be forgotten.
   * @throws {@link AimsError} `proof.replay_store_full`, `proof.replay_store_unavailable`: then the request is refused,
   *   not passed unchecked
   */
  consume(key: string, expiresAt: number, now: number): boolean | Promise<boolean>
  /**
   * What `consume` would answer now, without using anything up: for a look before work is done. Somebody else may use the key
   * meanwhile, so only `consume` decides.
   *
   * @returns `false` for a key that was used.
   * @throws {@link AimsError} `proof.replay_store_unavailable`: also when the store may have forgotten the key
   */
  isFresh(key: string, expiresAt: number, now: number): boolean | Promise<boolean>
}
