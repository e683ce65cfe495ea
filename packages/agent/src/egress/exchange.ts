import { type ClientRequest, type IncomingMessage, request as requestHttp, type ServerResponse } from 'node:http'
import type { AttestationResult } from 'aims/attestation'
import { AimsError, type AuditEvent, createCorrelationId, type Observer, withoutSecrets } from 'aims/base'
import { bundleSource } from 'aims/credentials'
import type { WorkloadSnapshot } from '../workload-backend.ts'
import { returnAnswer } from './answer.ts'
import { type AttachContext, type Attachment, attach, needsBody } from './attach.ts'
import type { BrokerCaller } from './caller.ts'
import { type Decided, decide } from './decide.ts'
import type { Destinations } from './destinations.ts'
import type { BrokerBackend } from './egress-server.ts'
import { type FieldPairs, fieldsToPassOn, pairsOf, requirePlainFields } from './fields.ts'
import type { Hiding } from './hiding.ts'
import { answerProblem, codeOf } from './problem.ts'
import type { RateLimits } from './rate.ts'
import type { BrokerRule } from './rules.ts'
import { type BrokerTarget, parseBrokerTarget } from './target.ts'

/** What requests are passed on with. */
export interface ExchangeContext extends AttachContext {
  readonly backend: BrokerBackend
  readonly rules: readonly BrokerRule[]
  readonly rates: RateLimits
  readonly hiding: Hiding
  readonly destinations: Destinations
  readonly observer: Observer
}

/** Bytes of a body that a proof is bound to. */
const MAX_PROVEN = 1024 * 1024

/**
 * Passes one request on, or says why not. What is decided is recorded before anything is sent; what is refused as well,
 * and when it cannot be recorded, nothing is sent.
 */
export async function passOn(
  request: IncomingMessage,
  response: ServerResponse,
  caller: BrokerCaller,
  context: ExchangeContext,
): Promise<void> {
  const id = createCorrelationId()
  response.setHeader('x-request-id', id)
  let known: Known = {}
  try {
    const fields = pairsOf(request.rawHeaders)
    requirePlainFields(fields)
    const target = parseBrokerTarget(request.url ?? '')
    caller.requireHost(fields, request.url ?? '', target)
    known = { target }
    const attestation = await caller.attest()
    const snapshot = await identitiesOf(context.backend, attestation)
    known = { target, agent: snapshot.identities[0]?.spiffeId }
    const asked = { attestation, identities: snapshot.identities, method: request.method ?? '', target }
    const decided = decide(context.rules, asked)
    known = { target, rule: decided.rule, agent: decided.identity.spiffeId }
    context.rates.enter(decided.rule, decided.identity.spiffeId)
    const passedOn = fieldsToPassOn(fields, decided.rule)
    const body = needsBody(decided.rule) ? await readProven(request, decided.rule) : undefined
    const attachment = await attach(
      {
        ...decided,
        attestation,
        bundles: bundleSource(...snapshot.bundles),
        method: asked.method,
        path: target.path,
        query: target.query,
        fields: passedOn,
        body,
      },
      context,
    )
    await context.observer.record(eventOf(request, id, caller, known))
    await send({ request, response, decided, snapshot, attachment, fields: passedOn, target, body }, context)
  } catch (error) {
    // The part of an answer that was sent has been recorded as allowed.
    const isNew = !response.headersSent
    const refused = isNew ? await recordRefusal(context, eventOf(request, id, caller, known, error), error) : error
    answerProblem(response, refused, id)
    request.resume()
  }
}

interface Known {
  readonly target?: BrokerTarget
  readonly rule?: BrokerRule
  readonly agent?: string | undefined
}

/** What a workload is now. @throws {@link AimsError} `provisioning.no_identity` */
export async function identitiesOf(backend: BrokerBackend, attestation: AttestationResult): Promise<WorkloadSnapshot> {
  const snapshot = await backend.snapshot(attestation)
  if (snapshot.identities.length === 0) throw new AimsError('provisioning.no_identity', 'no entry is for this workload')
  return snapshot
}

/** Records a refusal, and says with what to refuse: also when it was not recorded. */
export async function recordRefusal(
  { observer }: Pick<ExchangeContext, 'observer'>,
  event: AuditEvent,
  error: unknown,
): Promise<unknown> {
  try {
    await observer.record(event)
    return error
  } catch (failure) {
    return failure
  }
}

function eventOf(
  { method = '' }: IncomingMessage,
  id: string,
  caller: BrokerCaller,
  { target, rule, agent }: Known,
  error?: unknown,
): AuditEvent {
  return {
    type: 'authorization.brokered',
    ...(agent === undefined ? {} : { agent: { id: agent, method: caller.method } }),
    resource: { type: 'destination', id: nameOf(target, rule) },
    action: method.slice(0, 32),
    decision: error === undefined ? 'allow' : 'deny',
    ...(rule === undefined ? {} : { policy: { ids: [rule.name], version: 'agent.egress.rules' } }),
    ...(error === undefined ? {} : { reasons: [codeOf(error)] }),
    correlationId: id,
    details: {
      ...caller.facts,
      ...(rule === undefined ? {} : { credential: rule.credential.kind }),
      ...(target === undefined ? {} : { path: withoutSecrets(target.path.slice(0, 512)) }),
    },
  }
}

function nameOf(target: BrokerTarget | undefined, rule: BrokerRule | undefined): string {
  if (rule !== undefined) return `${rule.host}:${rule.port}`
  if (target === undefined) return 'unknown'
  return 'rule' in target.by ? `rule ${target.by.rule}` : `${target.by.host}:${target.by.port}`
}

interface Sending {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly decided: Decided
  readonly snapshot: WorkloadSnapshot
  readonly attachment: Attachment
  readonly fields: FieldPairs
  readonly target: BrokerTarget
  readonly body: Buffer | undefined
}

async function send(sending: Sending, { destinations, hiding }: ExchangeContext): Promise<void> {
  const { request, response, decided, snapshot, attachment, target, body } = sending
  const { rule, identity } = decided
  const { method = '' } = request
  const agent = destinations.agentFor({ rule, identity, bundles: snapshot.bundles, tls: attachment.tls })
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const sent = requestHttp({
    agent,
    method,
    host: rule.host,
    port: rule.port,
    path: `${target.path}${attachment.query}`,
    headers: headersOf(sending),
    maxHeaderSize: 32_768,
    timeout: rule.timeout * 1000,
    signal: gone.signal,
  })
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    sent.on('response', resolve)
    sent.on('error', (cause) => reject(AimsError.is(cause) ? cause : failed(cause)))
    sent.on('upgrade', (_answer, socket) => {
      socket.destroy()
      reject(new AimsError('egress.response_invalid', 'the destination changes the protocol'))
    })
    sent.on('timeout', () => {
      sent.destroy(new AimsError('outbound.timeout', 'nothing came in time'))
    })
  })
  const uploaded = body === undefined ? upload(sending, sent) : Promise.resolve(void sent.end(body))
  // A destination may answer before it has read everything; what is left to say then is said by the answer.
  uploaded.catch((error: unknown) => sent.destroy(AimsError.is(error) ? error : failed(error)))
  const answer = await answered
  const tables = hiding.tablesFor(identity, attachment.hidden)
  const { verify } = attachment
  try {
    await returnAnswer(answer, response, { rule, method, tables, ...(verify === undefined ? {} : { verify }) })
  } catch (error) {
    sent.destroy()
    throw AimsError.is(error)
      ? error
      : new AimsError('egress.response_invalid', 'the answer broke off', { cause: error })
  }
}

// Not by `pipeline`, which ends the connection of the caller together with that to the destination: it gets an answer.
async function upload({ request, decided }: Sending, to: ClientRequest): Promise<void> {
  const { maxRequest } = decided.rule
  let size = 0
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxRequest) throw new AimsError('egress.body_too_large', 'the body is larger than the rule allows')
    // The destination has answered, and reads no more.
    if (to.destroyed) break
    if (!to.write(chunk)) await drained(to)
  }
  request.resume()
  to.end()
}

function drained(to: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      to.off('drain', go).off('close', go)
      resolve()
    }
    to.once('drain', go).once('close', go)
  })
}

function headersOf({ request, decided, attachment, fields, body }: Sending): string[] {
  const { host, port } = decided.rule
  const { 'content-length': length } = request.headers
  const isChunked = request.headers['transfer-encoding'] !== undefined
  const framing: FieldPairs =
    body !== undefined
      ? body.length > 0 || length !== undefined
        ? [['content-length', String(body.length)]]
        : []
      : isChunked
        ? [['transfer-encoding', 'chunked']]
        : length === undefined
          ? []
          : [['content-length', length]]
  const attached = new Set(attachment.fields.map(([name]) => name))
  return [
    ['host', port === 443 ? host : `${host}:${port}`] as const,
    ...fields.filter(([name]) => !attached.has(name)),
    ...attachment.fields,
    ['accept-encoding', 'identity'] as const,
    ...framing,
  ].flat()
}

// Its digest goes into the proof, so it must be whole before the request begins.
async function readProven(request: IncomingMessage, { maxRequest }: BrokerRule): Promise<Buffer> {
  const limit = Math.min(maxRequest, MAX_PROVEN)
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) throw new AimsError('egress.body_too_large', `a body that is proven has at most ${limit} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function failed(cause: unknown): AimsError {
  return new AimsError('outbound.unreachable', 'the connection to the destination failed', { cause })
}
