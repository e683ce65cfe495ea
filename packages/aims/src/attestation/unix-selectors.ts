/**
 * What is wrong with a selector that only this machine's attestor could show, if it never shows such a one: an unknown
 * key, or a value in another spelling. `undefined` when nothing is, and for every type but
 * `unix`, `systemd` and `docker`.
 *
 * An entry with such a selector would match nobody, and nobody would say why.
 */
export function findUnixSelectorProblem(selector: string): string | undefined {
  const [type = '', key = '', ...rest] = selector.split(':')
  const keys = Object.hasOwn(SELECTORS, type) ? SELECTORS[type] : undefined
  if (keys === undefined) return undefined
  const rule = Object.hasOwn(keys, key) ? keys[key] : undefined
  if (rule === undefined) return `${type} selectors are ${Object.keys(keys).join(', ')}`
  const [form, takes] = rule
  return form.test(rest.join(':')) ? undefined : `${type}:${key} takes ${takes}`
}

type Rule = readonly [form: RegExp, takes: string]

const ID: Rule = [/^(0|[1-9][0-9]{0,9})$/, 'a number']
const NAME: Rule = [/^(?![0-9]+$)[^:]+$/, 'a name; for a number there is the selector that ends in id']
const PATH: Rule = [/^\//, 'an absolute path']

const SELECTORS: { readonly [type: string]: { readonly [key: string]: Rule } } = {
  unix: {
    uid: ID,
    user: NAME,
    gid: ID,
    group: NAME,
    supplementary_gid: ID,
    supplementary_group: NAME,
    path: PATH,
    sha256: [/^[0-9a-f]{64}$/, '64 lower-case hex digits'],
    cgroup: PATH,
  },
  docker: {
    image_config_digest: [/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 lower-case hex digits'],
    image_digest: [/^[^@]+@sha256:[0-9a-f]{64}$/, 'a name, @sha256: and 64 lower-case hex digits'],
    image_id: [/^.+$/, 'the name of an image'],
    label: [/^[^:]+:/, 'a key, a colon and a value'],
    env: [/^[^=]+=/, 'a name, = and a value'],
  },
  systemd: { unit: [/^.+$/, 'the name of a unit'] },
}
