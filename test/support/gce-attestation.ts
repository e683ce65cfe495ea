// The protobuf message in which go-tpm-tools keeps an attestation: only what tests read of it.
import { type Field, readFields } from '../../packages/aims/src/provisioning/workload-api/protobuf.ts'

export interface GceQuote {
  readonly attest: Buffer
  readonly signature: Buffer
  readonly bank: 'sha1' | 'sha256' | 'sha384'
  readonly values: ReadonlyMap<string, Buffer>
}

export interface GceAttestation {
  readonly akPublic: Buffer
  readonly quotes: readonly GceQuote[]
  readonly eventLog: Buffer
}

const BANKS: { readonly [id: number]: GceQuote['bank'] } = { 4: 'sha1', 11: 'sha256', 12: 'sha384' }

export function readGceAttestation(message: Uint8Array): GceAttestation {
  const fields = readFields(message)
  return {
    akPublic: only(fields, 1),
    quotes: fields.filter(({ number }) => number === 2).map(({ bytes }) => readQuote(readFields(bytes))),
    eventLog: only(fields, 3),
  }
}

function readQuote(fields: readonly Field[]): GceQuote {
  const pcrs = readFields(only(fields, 3))
  const bank = BANKS[Number(pcrs.find(({ number }) => number === 1)?.varint)]
  if (bank === undefined) throw new Error('a bank that tests do not know')
  const values = pcrs
    .filter(({ number }) => number === 2)
    .map(({ bytes }) => readFields(bytes))
    .map((pair) => [`${bank}:${pair.find(({ number }) => number === 1)?.varint ?? 0n}`, only(pair, 2)] as const)
  return { attest: only(fields, 1), signature: only(fields, 2), bank, values: new Map(values) }
}

function only(fields: readonly Field[], number: number): Buffer {
  const field = fields.find((one) => one.number === number)
  if (field === undefined) throw new Error(`no field ${number}`)
  return field.bytes
}
