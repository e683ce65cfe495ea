import { join } from 'node:path'
import { AimsError, type ApiClient, isJsonObject } from 'aims/base'
import { AuditReader, databaseSource, formatReceipt, verifyLog, verifyReceipt } from 'aims/monitoring'
import type { Configuration, RunningServer } from 'aims-server'
import type { Observation } from './step.ts'
import type { Answer } from './workload-process.ts'

/** What came of a call: the caller got a status and an id, the operator finds the reason in the log. */
export async function describe({ observed, facts = {} }: Answer, api: ApiClient): Promise<Observation> {
  const { id, caller, method, profile, effect, because, policies, covers, challenge } = facts
  if (observed === '201' && Array.isArray(policies)) {
    const how = profile === undefined ? String(method) : `${String(method)} (${String(profile)})`
    return {
      observed: `201 ${String(effect)}ed by ${policies.join(', ')}, proven by ${how}`,
      facts: { caller, covers },
    }
  }
  if (observed === '403') return { observed: `403 denied: ${String(because)}`, facts: { caller, id } }
  const reason = typeof id === 'string' ? await reasonOf(id, api) : undefined
  return { observed: `${observed} ${reason ?? 'without a record'}`, facts: { 'WWW-Authenticate': challenge, id } }
}

async function reasonOf(id: string, api: ApiClient): Promise<string | undefined> {
  const answer = await api.send({ method: 'GET', path: `/v1/audit/records?correlationId=${encodeURIComponent(id)}` })
  const records = isJsonObject(answer) && Array.isArray(answer.records) ? answer.records.filter(isJsonObject) : []
  const refused = records.find(({ type }) => type === 'authentication.refused')
  return Array.isArray(refused?.reasons) ? refused.reasons.join(' ') : undefined
}

/** Takes the newest decision out of the log and checks its receipt, as an outsider would. */
export function proveLastDecision({ dataDirectory }: Configuration): Observation {
  using reader = AuditReader.openFile(join(dataDirectory, 'log.sqlite'))
  const [last] = reader.list({ type: 'authorization.decided', limit: 1 })
  if (last === undefined) throw new AimsError('audit.unknown_index', 'no decision was recorded')
  const receipt = reader.receipt(last.record.index)
  const { index, size } = verifyReceipt(last.bytes, receipt, { vkey: reader.vkey })
  return {
    observed: 'the record is under the signed checkpoint',
    facts: {
      record: last.record,
      proof: `record ${index} of ${size}, ${receipt.hashes.length} hashes`,
      checkpoint: receipt.checkpoint.trimEnd().split('\n'),
      'receipt (bytes)': formatReceipt(receipt).length,
    },
  }
}

/** Hashes the whole log again and compares it with what was signed. */
export function checkLog({ dataDirectory }: Configuration, { logKey }: RunningServer): Observation {
  using source = databaseSource(join(dataDirectory, 'log.sqlite'))
  const verdict = verifyLog(source, { vkey: logKey })
  if (!verdict.ok) return { observed: `${verdict.code} at record ${verdict.index}` }
  return {
    observed: 'every record is what was signed',
    facts: { records: verdict.size, root: verdict.root, key: logKey },
  }
}
