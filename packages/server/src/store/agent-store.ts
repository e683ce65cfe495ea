import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { ATTESTATION_TYPES, type AttestationType } from 'aims/attestation'
import { AimsError, parseJson, storing } from 'aims/base'
import { isSpiffeId, type SpiffeId } from 'aims/identifiers'
import type { AttestedAgent } from 'aims/provisioning'
import type { Seal } from './seal.ts'

/** An agent on another host, as its last attestation left it. */
export interface RegisteredAgent extends AttestedAgent {
  /** 32 hex digits; the last part of its SPIFFE ID. */
  readonly id: string
  readonly type: AttestationType
  readonly state: 'active' | 'banned'
  /** Its evidence is bound to its key, so that the same machine may come again. */
  readonly mayReattest: boolean
  /** RFC 7638 thumbprint of the key that was certified last. */
  readonly thumbprint: string
  /** Of the SVID that it shows. */
  readonly serial: string
  /** Of an SVID that was issued and not shown yet: the agent may have died before it had it. */
  readonly nextSerial: string | undefined
  /** Of its last SVID. Seconds since the epoch. */
  readonly expiresAt: number
  readonly firstSeen: number
  /** Of its last attestation or renewal. */
  readonly lastSeen: number
}

/** Agents on other hosts, all in memory, every change on disk before it shows. Says nothing about who may change them. */
export interface AgentStore {
  find(id: string): RegisteredAgent | undefined
  findBySubject(subject: string): RegisteredAgent | undefined
  /** In the order of their ids. */
  list(): readonly RegisteredAgent[]
  put(agent: RegisteredAgent): void
  remove(agent: RegisteredAgent): void
}

/**
 * Opens the agents of the store. Rows are sealed: adding one would make an agent of anybody, and removing a banned one
 * would let it in again.
 *
 * @throws {@link AimsError} `operation.store_damaged`
 */
export function openAgentStore(db: DatabaseSync, seal: Seal): AgentStore {
  const rows = storing('store', () => db.prepare('SELECT * FROM agents').all()).map(readRow)
  const agents = new Map(rows.map((agent) => [agent.id, agent]))
  const bySubject = new Map(rows.map((agent) => [agent.spiffeId as string, agent]))
  const put = db.prepare(`
    INSERT OR REPLACE INTO agents VALUES
      ($id, $spiffeId, $type, $selectors, $state, $mayReattest, $thumbprint, $serial, $nextSerial, $expires, $first, $last)`)
  const remove = db.prepare('DELETE FROM agents WHERE id = ?')
  return {
    find: (id) => agents.get(id),
    findBySubject: (subject) => bySubject.get(subject),
    list: () => [...agents.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    put(agent) {
      const row = {
        $id: agent.id,
        $spiffeId: agent.spiffeId,
        $type: agent.type,
        $selectors: JSON.stringify(agent.selectors),
        $state: agent.state,
        $mayReattest: Number(agent.mayReattest),
        $thumbprint: agent.thumbprint,
        $serial: agent.serial,
        $nextSerial: agent.nextSerial ?? null,
        $expires: agent.expiresAt,
        $first: agent.firstSeen,
        $last: agent.lastSeen,
      }
      seal.transaction(() => seal.row('agents', agent.id, () => put.run(row)))
      agents.set(agent.id, agent)
      bySubject.set(agent.spiffeId, agent)
    },
    remove({ id, spiffeId }) {
      seal.transaction(() => seal.row('agents', id, () => remove.run(id)))
      agents.delete(id)
      bySubject.delete(spiffeId)
    },
  }
}

function readRow(row: Record<string, SQLOutputValue>): RegisteredAgent {
  const spiffeId = String(row.spiffe_id)
  const type = ATTESTATION_TYPES.find((one) => one === row.type)
  const selectors = parseJson(String(row.selectors))
  if (type === undefined || !isSpiffeId(spiffeId) || !Array.isArray(selectors)) {
    throw new AimsError('operation.store_damaged', 'a row of agents is malformed')
  }
  return {
    id: String(row.id),
    spiffeId: spiffeId as SpiffeId,
    type,
    selectors: selectors.map(String),
    state: row.state === 'active' ? 'active' : 'banned',
    mayReattest: row.may_reattest === 1,
    thumbprint: String(row.thumbprint),
    serial: String(row.serial),
    nextSerial: row.next_serial === null ? undefined : String(row.next_serial),
    expiresAt: Number(row.expires_at),
    firstSeen: Number(row.first_seen),
    lastSeen: Number(row.last_seen),
  }
}
