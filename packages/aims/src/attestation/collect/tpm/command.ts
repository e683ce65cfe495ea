import { setTimeout as sleep } from 'node:timers/promises'
import { sized, TpmReader, u32 } from '../../tpm/wire.ts'
import { failed, type TpmTransport } from './transport.ts'

/** One command, as Part 3 of the TPM 2.0 Library lays it out. */
export interface TpmCommand {
  /** One of {@link TPM_COMMAND}. */
  readonly code: number
  readonly handles?: readonly number[]
  /** One per handle that needs authorization. */
  readonly authorizations?: readonly Uint8Array[]
  readonly parameters?: readonly Uint8Array[]
  /** Handles in the response. Default 0. */
  readonly returnsHandles?: 0 | 1
}

export interface TpmAnswer {
  readonly handle: number
  readonly parameters: TpmReader
}

/** TPM_CC values in use. */
export const TPM_COMMAND = {
  createPrimary: 0x131,
  activateCredential: 0x147,
  certify: 0x148,
  nvRead: 0x14e,
  policySecret: 0x151,
  create: 0x153,
  load: 0x157,
  quote: 0x158,
  sign: 0x15d,
  contextLoad: 0x161,
  contextSave: 0x162,
  flushContext: 0x165,
  nvReadPublic: 0x169,
  readPublic: 0x173,
  startAuthSession: 0x176,
  pcrRead: 0x17e,
} as const

const NO_SESSIONS = Buffer.from('8001', 'hex')
const SESSIONS = Buffer.from('8002', 'hex')
const PASSWORD = 0x4000_0009
const CONTINUE = Buffer.of(1)
const NOTHING = Buffer.alloc(0)
// TPM_RC_RETRY, TPM_RC_YIELDED, TPM_RC_TESTING: ask again.
const AGAIN: ReadonlySet<number> = new Set([0x922, 0x908, 0x90a])
const ATTEMPTS = 20

/** Authorization by a password; those of keys made here are empty. */
export const byPassword = (password: Uint8Array = NOTHING): Buffer => authorization(PASSWORD, password)
/** Authorization by a policy session, which stays open. */
export const byPolicy = (session: number): Buffer => authorization(session, NOTHING)

function authorization(session: number, secret: Uint8Array): Buffer {
  return Buffer.concat([u32(session), sized(NOTHING), CONTINUE, sized(secret)])
}

/** A TPM refused a command. Apart from its code it says which: `responseCode` as in Part 2, section 6.6. */
export class TpmRefusal extends Error {
  readonly responseCode: number

  constructor(command: number, responseCode: number) {
    super(`TPM command 0x${command.toString(16)} was refused with 0x${responseCode.toString(16)}`)
    this.responseCode = responseCode
  }
}

/**
 * Sends a command and reads the frame of its response.
 *
 * @throws {@link AimsError} `attestation.collection_failed`, with a {@link TpmRefusal} as cause where the TPM refused
 */
export async function execute(transport: TpmTransport, command: TpmCommand): Promise<TpmAnswer> {
  const bytes = encode(command)
  for (let attempt = 1; ; attempt += 1) {
    const response = new TpmReader(await transport.exchange(bytes))
    const [tag, size, code] = [response.u16(), response.u32(), response.u32()]
    if (size !== response.left + 10) throw failed('the TPM gave an answer of the wrong length')
    if (AGAIN.has(code) && attempt < ATTEMPTS) {
      await sleep(attempt * 10)
      continue
    }
    if (code !== 0) throw refusal(command.code, code)
    const handle = command.returnsHandles === 1 ? response.u32() : 0
    if (tag !== SESSIONS.readUInt16BE()) return { handle, parameters: response }
    // Authorizations of the TPM follow; those of passwords and plain policies say nothing.
    return { handle, parameters: new TpmReader(response.take(response.u32())) }
  }
}

function refusal(command: number, responseCode: number): Error {
  const cause = new TpmRefusal(command, responseCode)
  return failed(cause.message, cause)
}

function encode({ code, handles = [], authorizations = [], parameters = [] }: TpmCommand): Buffer {
  const area = Buffer.concat(authorizations)
  const body = Buffer.concat([
    u32(code),
    ...handles.map(u32),
    ...(area.length === 0 ? [] : [u32(area.length), area]),
    ...parameters,
  ])
  return Buffer.concat([area.length === 0 ? NO_SESSIONS : SESSIONS, u32(body.length + 6), body])
}
