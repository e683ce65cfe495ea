import { type InspectOptions, inspect } from 'node:util'
import { createNotes } from './notes.ts'

/** Values by name that are read by name, and show up nowhere else. */
interface Secrets {
  readonly [name: string]: unknown
}

/**
 * Makes an object whose `secrets` are read by name and show up nowhere else: not in JSON, `inspect`, a spread copy,
 * `Object.entries` or a structured clone. For values that carry tokens or keys and may end up in a log.
 */
export function withSecrets<V extends object, S extends Secrets>(visible: V, secrets: S): Readonly<V & S> {
  return Object.freeze(hidingSecrets(visible, secrets))
}

/** As {@link withSecrets}, not frozen yet: for who has something to note on the object first. */
export function hidingSecrets<V extends object, S extends Secrets>(visible: V, secrets: S): Readonly<V & S> {
  const value: object = { ...visible }
  secretsOf.put(value, secrets)
  for (const name of Object.keys(secrets)) Object.defineProperty(value, name, accessorTo(name))
  return Object.defineProperty(value, inspect.custom, PRINT) as Readonly<V & S>
}

const secretsOf = createNotes<Secrets>()

// All objects share one accessor for a name, and so one shape: the engine reads objects of many shapes far more slowly.
const accessors = new Map<string, PropertyDescriptor>()

// An accessor: `inspect` with `showHidden` prints the values of hidden data properties.
function accessorTo(name: string): PropertyDescriptor {
  const known = accessors.get(name)
  if (known !== undefined) return known
  const accessor: PropertyDescriptor = {
    get(this: object) {
      return secretsOf.get(this)?.[name]
    },
    enumerable: false,
  }
  accessors.set(name, accessor)
  return accessor
}

// Who asks `inspect` to call accessors gets what is visible.
const PRINT: PropertyDescriptor = {
  value(this: object, _depth: number, options: InspectOptions): string {
    return inspect({ ...this }, options)
  },
  enumerable: false,
}
