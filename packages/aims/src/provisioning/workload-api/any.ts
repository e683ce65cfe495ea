import { bytesOf, type MessageCodec, readFields, textOf, writeBytes, writeMessage } from './protobuf.ts'

/** `google.protobuf.Any`: a message together with its type. */
export interface AnyMessage {
  /** `type.googleapis.com/` and the full name of the type. */
  readonly typeUrl: string
  readonly value: Uint8Array
}

/** What every type URL here begins with. */
export const TYPE_PREFIX = 'type.googleapis.com/'

export const anyMessage: MessageCodec<AnyMessage> = {
  encode: ({ typeUrl, value }) => writeMessage(writeBytes(1, typeUrl), writeBytes(2, value)),
  decode(bytes) {
    let typeUrl = ''
    let value: Buffer = Buffer.alloc(0)
    for (const field of readFields(bytes)) {
      if (field.number === 1) typeUrl = textOf(field)
      else if (field.number === 2) value = bytesOf(field)
    }
    return { typeUrl, value }
  },
}
