import { readFileSync, statSync } from 'node:fs'

/** Names of numeric ids from a file like `/etc/passwd` or `/etc/group`, read again when the file changes. */
export class AccountNames {
  readonly #file: string
  #stamp = ''
  #names: ReadonlyMap<number, string> = new Map()

  constructor(file: string) {
    this.#file = file
  }

  /** The first name in the file for each id, as `getpwuid` gives it. */
  read(): ReadonlyMap<number, string> {
    const { mtimeNs, ctimeNs, ino, size } = statSync(this.#file, { bigint: true, throwIfNoEntry: false }) ?? {}
    const stamp = `${mtimeNs}-${ctimeNs}-${ino}-${size}`
    if (stamp !== this.#stamp) {
      this.#names = size === undefined ? new Map() : parseAccounts(readFileSync(this.#file, 'utf8'))
      this.#stamp = stamp
    }
    return this.#names
  }
}

// Lines `name:password:id:...`. Others, such as NIS references, name nobody.
function parseAccounts(text: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>()
  for (const line of text.split('\n')) {
    const [, name, id] = /^([a-zA-Z_][a-zA-Z0-9_.@-]*\$?):[^:]*:([0-9]{1,10})(?::|$)/.exec(line) ?? []
    if (name !== undefined && id !== undefined && !names.has(Number(id))) names.set(Number(id), name)
  }
  return names
}
