// TCG event logs in the crypto-agile format, as firmware writes them.
const u16 = (value: number) => Buffer.from(Uint16Array.of(value).buffer)
const u32 = (value: number) => Buffer.from(Uint32Array.of(value).buffer)

export interface LogEvent {
  readonly register: number
  readonly type: number
  readonly digests: readonly (readonly [algorithm: number, digest: Uint8Array])[]
  readonly data?: Uint8Array
}

/** The first event, which lists the algorithms, and then the others. */
export function makeEventLog(
  algorithms: readonly (readonly [id: number, size: number])[],
  events: readonly LogEvent[],
  change: { readonly signature?: string; readonly firstType?: number } = {},
): Buffer {
  const { signature = 'Spec ID Event03\0', firstType = 3 } = change
  const list = algorithms.map(([id, size]) => Buffer.concat([u16(id), u16(size)]))
  const fixed = Buffer.from([0, 0, 0, 0, 0, 2, 0, 2])
  const header = Buffer.concat([Buffer.from(signature), fixed, u32(algorithms.length), ...list, Buffer.from([0])])
  const first = Buffer.concat([u32(0), u32(firstType), Buffer.alloc(20), u32(header.length), header])
  return Buffer.concat([first, ...events.map(encodeEvent)])
}

/** SHA-384 only, as CCEL is. */
export const makeCcel = (events: readonly LogEvent[]): Buffer => makeEventLog([[12, 48]], events)

export function ccelEvent(register: number, byte: number, type = 0x8000_0006): LogEvent {
  return { register, type, digests: [[12, Buffer.alloc(48, byte)]], data: Buffer.from('event') }
}

function encodeEvent({ register, type, digests, data = Buffer.alloc(0) }: LogEvent): Buffer {
  const list = digests.map(([id, digest]) => Buffer.concat([u16(id), digest]))
  return Buffer.concat([u32(register), u32(type), u32(digests.length), ...list, u32(data.length), data])
}
