import { type InspectOptions, inspect } from 'node:util'

/**
 * Makes an object whose `secrets` are read by name and show up nowhere else: not in JSON, `inspect`, a spread copy,
 * `Object.entries` or a structured clone. For values that carry tokens or keys and may end up in a log.
 */
export function withSecrets<V extends object, S extends { readonly [name: string]: unknown }>(
  visible: V,
  secrets: S,
): Readonly<V & S> {
  const value: object = { ...visible }
  for (const name of Object.keys(secrets)) {
    // An accessor: `inspect` with `showHidden` prints the values of hidden data properties.
    Object.defineProperty(value, name, { get: () => secrets[name], enumerable: false })
  }
  // Who asks `inspect` to call accessors gets what is visible.
  const print = (_depth: number, options: InspectOptions): string => inspect({ ...visible }, options)
  Object.defineProperty(value, inspect.custom, { value: print, enumerable: false })
  return Object.freeze(value) as Readonly<V & S>
}
