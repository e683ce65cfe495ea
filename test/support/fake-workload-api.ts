import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js'
import { WORKLOAD_API } from '../../packages/aims/src/provisioning/workload-api/service.ts'

type Method = keyof typeof WORKLOAD_API
type Answer = object | status

/** A Workload API by grpc-js that answers what a test tells it to: somebody else's server, and a faulty one. */
export class FakeWorkloadApi {
  /** The metadata of each call, in order. */
  readonly calls: { readonly method: Method; readonly header: readonly unknown[]; readonly request: object }[] = []
  readonly #answers = new Map<Method, Answer>()
  readonly #streams = new Map<Method, Set<ServerWritableStream<object, object>>>()
  readonly #server = new Server()

  /** @param address - e.g. `unix:///tmp/x/s` */
  static async start(address: string): Promise<FakeWorkloadApi> {
    const fake = new FakeWorkloadApi()
    for (const method of Object.keys(WORKLOAD_API) as Method[]) fake.#serve(method)
    await new Promise<void>((resolve, reject) => {
      fake.#server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      )
    })
    return fake
  }

  /** Answers `method` so from now on; open streams get it at once. A number is the status it ends with. */
  answer(method: Method, answer: Answer): void {
    this.#answers.set(method, answer)
    for (const stream of this.#streams.get(method) ?? []) this.#send(stream, answer)
  }

  /** Ends all streams of a method in order. */
  endStreams(method: Method): void {
    for (const stream of this.#streams.get(method) ?? []) stream.end()
  }

  /** How many streams of a method are open. */
  open(method: Method): number {
    return this.#streams.get(method)?.size ?? 0
  }

  /** Breaks all connections and stops. */
  stop(): void {
    this.#server.forceShutdown()
  }

  #serve(method: Method): void {
    const { path, isStream, request, response } = WORKLOAD_API[method]
    const definition = {
      path,
      requestStream: false,
      responseStream: isStream,
      requestDeserialize: (bytes: Buffer): object => request.decode(bytes),
      requestSerialize: (): Buffer => Buffer.alloc(0),
      responseDeserialize: (): object => ({}),
      responseSerialize: (message: object): Buffer => response.encode(message as never),
    }
    const handler = isStream ? this.#stream(method) : this.#unary(method)
    this.#server.addService({ [method]: definition }, { [method]: handler })
  }

  #stream(method: Method): (call: ServerWritableStream<object, object>) => void {
    return (call) => {
      this.#note(method, call.metadata, call.request)
      const streams = this.#streams.get(method) ?? new Set()
      this.#streams.set(method, streams.add(call))
      const forget = (): void => {
        streams.delete(call)
      }
      call.on('close', forget).on('cancelled', forget).on('error', forget)
      this.#send(call, this.#answers.get(method) ?? status.PERMISSION_DENIED)
    }
  }

  #unary(method: Method): (call: ServerUnaryCall<object, object>, done: sendUnaryData<object>) => void {
    return (call, done) => {
      this.#note(method, call.metadata, call.request)
      const answer = this.#answers.get(method) ?? status.PERMISSION_DENIED
      if (typeof answer === 'number') done({ code: answer, details: 'as told' })
      else done(null, answer)
    }
  }

  #note(method: Method, metadata: Metadata, request: object): void {
    this.calls.push({ method, header: metadata.get('workload.spiffe.io'), request })
  }

  #send(stream: ServerWritableStream<object, object>, answer: Answer): void {
    if (typeof answer === 'number') stream.emit('error', { code: answer, details: 'as told' })
    else stream.write(answer)
  }
}
