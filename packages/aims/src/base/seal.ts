import { createNotes } from './notes.ts'

declare const seal: unique symbol

/** What makes a type one that cannot be written by hand: a member that has a name here only. Exists in types alone. */
export interface Sealed<Name extends string> {
  readonly [seal]: Name
}

/** The members of a sealed type. */
export type Unsealed<T> = Omit<T, typeof seal>

/** Makes a value of a type that nobody asks for at run time: frozen, and otherwise sealed in types alone. */
export function sealInTypes<T extends object>(value: Unsealed<T>): T {
  return Object.freeze(value) as T
}

/** Marks values of one type as made by the module that holds the sealer. */
export interface Sealer<T extends object> {
  /** Freezes the value and marks it. Its members are not frozen. */
  seal(value: Unsealed<T>): T
  /** True for what was sealed here: not for a copy, a clone, or an object of the same shape. */
  isSealed(value: unknown): value is T
}

/**
 * Makes a sealer. Keep it private to the module that verifies: whoever can seal can forge.
 *
 * The mark is the object's identity, so nothing that arrives as data can carry it.
 */
export function createSealer<T extends object>(): Sealer<T> {
  const sealed = createNotes<true>()
  return {
    seal(value) {
      sealed.put(value, true)
      Object.freeze(value)
      return value as T
    },
    isSealed: (value): value is T => typeof value === 'object' && value !== null && sealed.get(value) === true,
  }
}
