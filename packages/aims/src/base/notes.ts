/** Something noted on objects, which only who holds this can write and read. */
export interface Notes<T> {
  /** Notes a value on an object, in place of what was noted before. */
  put(object: object, value: T): void
  /** What was noted on this very object: not on a copy, a clone, a proxy of it, or an object that inherits from it. */
  get(object: object): T | undefined
}

/**
 * Makes notes. As a WeakMap, and several times cheaper where each request has an object of its own: an entry costs a
 * search, room in a table, and the time of the garbage collector.
 */
export function createNotes<T>(): Notes<T> {
  // An object that is frozen gets no member, not even a private one, in engines to come.
  const ofFrozen = new WeakMap<object, T>()
  // A private member of an object that was made elsewhere: the constructor is given the object as its own.
  return class Note extends Itself {
    #value: T

    constructor(object: object, value: T) {
      super(object)
      this.#value = value
    }

    static put(object: object, value: T): void {
      if (#value in object) object.#value = value
      else if (Object.isExtensible(object)) new Note(object, value)
      else ofFrozen.set(object, value)
    }

    static get(object: object): T | undefined {
      return #value in object ? object.#value : ofFrozen.get(object)
    }
  }
}

class Itself {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: this is what the class is for
    return object
  }
}
