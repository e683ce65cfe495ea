import type { Principal } from '../authentication/principal.ts'
import { ASSURANCE_LEVELS } from '../credentials/attested.ts'
import { pathOf, trustDomainOf, type WorkloadId } from '../identifiers/spiffe-id.ts'
import type { AccessRequest, RequestFacts, Resource, UserReference } from './request.ts'

interface Uid {
  type: string
  id: string
}
type Value = string | number | boolean | string[] | { __entity: Uid } | { [name: string]: Value }
interface Entity {
  uid: Uid
  attrs: Record<string, Value>
  parents: Uid[]
  tags?: Record<string, Value>
}

/** A request in the terms of the AIMS schema. Mutable arrays, because Cedar's types ask for them. */
export interface CedarRequest {
  principal: Uid
  action: Uid
  resource: Uid
  context: Record<string, Value>
  entities: Entity[]
}

const FACTS: Uid = { type: 'Facts', id: 'request' }
const NUMBERS: Uid = { type: 'Numbers', id: 'request' }

/** Says the same request in Cedar's terms. Expects a request without problems. */
export function toCedarRequest({ principal, action, resource, user, context = {} }: AccessRequest): CedarRequest {
  const agent = agentEntity(principal)
  const targets = resourceEntities(resource)
  const person = user === undefined ? undefined : userUid(user)
  return {
    principal: agent.uid,
    action: { type: 'Action', id: action.kind === 'http' ? action.method : 'call' },
    resource: targets[0].uid,
    context: {
      ...(action.kind === 'http' && { path: action.path }),
      ...(person !== undefined && { user: { __entity: person } }),
      facts: { __entity: FACTS },
      numbers: { __entity: NUMBERS },
    },
    entities: [
      agent,
      ...targets,
      ...(person === undefined ? [] : [{ uid: person, attrs: {}, parents: [] }]),
      ...factEntities(context),
    ],
  }
}

function agentEntity(principal: Principal): Entity {
  const { id, method, profile = 'none', credential, covers, attested, delegation } = principal
  const trustDomain = trustDomainUid(id)
  return {
    uid: { type: 'Agent', id },
    attrs: {
      id,
      path: pathOf(id),
      trustDomain: trustDomain.id,
      method,
      profile,
      credential: credential.type,
      covers: { method: covers.method, target: covers.target, body: covers.body },
      assurance: attested === undefined ? 0 : ASSURANCE_LEVELS.indexOf(attested.assurance) + 1,
      attestedBy: [...(attested?.types ?? [])],
      model: attested?.manifest?.model ?? '',
      tools: [...(attested?.manifest?.tools ?? [])],
      parent: delegation?.parent ?? '',
      rights: [...(delegation?.rights ?? [])],
    },
    parents: [trustDomain, ...groupsOf(id).map((group) => ({ type: 'AgentGroup', id: group }))],
  }
}

/** `spiffe://td/a/b/c` is in the groups `spiffe://td/a` and `spiffe://td/a/b`: whole segments, never itself. */
function groupsOf(id: WorkloadId): readonly string[] {
  const start = id.length - pathOf(id).length
  const groups: string[] = []
  for (let end = id.indexOf('/', start + 1); end !== -1; end = id.indexOf('/', end + 1)) groups.push(id.slice(0, end))
  return groups
}

// The resource itself first; a tool brings its server along.
function resourceEntities(resource: Resource): [Entity, ...Entity[]] {
  if (resource.kind === 'service') return [serviceEntity(resource.id)]
  const { server, name } = resource
  const uid = { type: 'Tool', id: `${server}#${name}` }
  return [
    { uid, attrs: { name }, parents: [{ type: 'Service', id: server }, trustDomainUid(server)] },
    serviceEntity(server),
  ]
}

function serviceEntity(id: WorkloadId): Entity {
  return { uid: { type: 'Service', id }, attrs: {}, parents: [trustDomainUid(id)] }
}

// wimse://td and spiffe://td are two namespaces: only the SPIFFE one goes by its bare name.
function trustDomainUid(id: WorkloadId): Uid {
  const name = trustDomainOf(id)
  return { type: 'TrustDomain', id: id.startsWith('spiffe://') ? name : `wimse://${name}` }
}

function userUid({ issuer, subject }: UserReference): Uid {
  return { type: 'User', id: `${issuer}#${subject}` }
}

function factEntities(facts: RequestFacts): Entity[] {
  const entries = Object.entries(facts)
  const numbers = entries.filter(([, value]) => typeof value === 'number')
  const texts = entries.filter(([, value]) => typeof value !== 'number').map(([name, value]) => [name, String(value)])
  return [
    { uid: FACTS, attrs: {}, parents: [], tags: Object.fromEntries(texts) },
    { uid: NUMBERS, attrs: {}, parents: [], tags: Object.fromEntries(numbers) },
  ]
}
