import { isJsonObject, type JsonObject, type JsonValue } from 'aims/base'
import { parseWorkloadSpiffeId } from 'aims/identifiers'
import { type AgentGroup, isAgentGroup, isSelector } from 'aims/provisioning'
import type { Delegation } from '../registration/delegation.ts'
import { duration, hostNames, idPrefixes, type SettingType } from './setting-types.ts'

/** Who may register what, beside the administrators. */
export const delegationList: SettingType<readonly Delegation[]> = {
  name: 'list of delegations',
  fromText: (text) => JSON.parse(text) as JsonValue,
  read: (value, base) => {
    if (!Array.isArray(value)) throw new Error('a list is needed')
    const list = value.map((one: JsonValue) => readDelegation(one, base))
    if (new Set(list.map(({ registrar }) => registrar)).size < list.length) {
      throw new Error('a registrar has two delegations: give it one with all prefixes')
    }
    return list
  },
  print: (list) => JSON.stringify(list),
}

const MEMBERS: readonly string[] = [
  'registrar',
  'prefixes',
  'selectorTypes',
  'requiredSelectors',
  'dnsNames',
  'agents',
  'maxTtls',
]
const KINDS = ['x509', 'jwt', 'wit'] as const

function readDelegation(value: JsonValue, base: string): Delegation {
  if (!isJsonObject(value)) throw new Error('a delegation is a map')
  requireKnown(value, MEMBERS)
  const { registrar, maxTtls = {} } = value
  if (!isJsonObject(maxTtls)) throw new Error('maxTtls is a map from x509, jwt and wit to durations')
  requireKnown(maxTtls, KINDS)
  const requiredSelectors = texts('requiredSelectors', value.requiredSelectors ?? [], isSelector, 'selectors')
  const selectorTypes = texts('selectorTypes', value.selectorTypes, isSelectorType, 'types such as unix')
  const prefixes = idPrefixes.read(value.prefixes ?? null, base)
  if (prefixes.length === 0 || selectorTypes.length === 0)
    throw new Error('prefixes and selectorTypes have one at least')
  return {
    registrar: readRegistrar(registrar),
    prefixes,
    selectorTypes,
    requiredSelectors,
    dnsNames: hostNames.read(value.dnsNames ?? [], base),
    agents: agentGroups(value.agents ?? []),
    maxTtls: Object.fromEntries(
      KINDS.flatMap((kind) => (maxTtls[kind] === undefined ? [] : [[kind, duration.read(maxTtls[kind], base)]])),
    ),
  }
}

function readRegistrar(value: JsonValue | undefined): string {
  if (typeof value === 'string' && /^unix:uid:(0|[1-9][0-9]{0,9})$/.test(value)) return value
  try {
    return parseWorkloadSpiffeId(String(value))
  } catch (cause) {
    throw new Error('registrar is a SPIFFE ID or unix:uid:NUMBER', { cause })
  }
}

function agentGroups(value: JsonValue): readonly AgentGroup[] {
  if (!Array.isArray(value) || !value.every(isAgentGroup)) {
    throw new Error('agents is a list of SPIFFE IDs of agents, and of lists of selectors that agents must show')
  }
  return value
}

function isSelectorType(text: string): boolean {
  return /^[a-z][a-z0-9_-]{0,31}$/.test(text)
}

function texts(
  name: string,
  value: JsonValue | undefined,
  is: (text: string) => boolean,
  kind: string,
): readonly string[] {
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string' && is(one))) {
    throw new Error(`${name} is a list of ${kind}`)
  }
  return value as readonly string[]
}

function requireKnown(object: JsonObject, names: readonly string[]): void {
  const unknown = Object.keys(object).find((name) => !names.includes(name))
  if (unknown !== undefined) throw new Error(`no member ${JSON.stringify(unknown.slice(0, 64))}`)
}
