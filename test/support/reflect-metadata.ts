// @peculiar/x509 does not load without the metadata part of Reflect, a proposal that was withdrawn. This is as much of
// it as its dependency injection uses.
const metadata = new WeakMap<object, Map<unknown, unknown>>()

const getOwnMetadata = (key: unknown, target: object): unknown => metadata.get(target)?.get(key)

Object.assign(Reflect, {
  getOwnMetadata,
  getMetadata: (key: unknown, target: object): unknown => {
    for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at) as object | null) {
      const found = getOwnMetadata(key, at)
      if (found !== undefined) return found
    }
    return undefined
  },
  defineMetadata: (key: unknown, value: unknown, target: object): void => {
    const own = metadata.get(target) ?? new Map<unknown, unknown>()
    metadata.set(target, own.set(key, value))
  },
})

export {}
