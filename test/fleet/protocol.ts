import type { ChildProcess } from 'node:child_process'

/** The kinds of credential that requests are made with. */
export const KINDS = ['mtls', 'wit+wpt', 'jwt-svid'] as const
export type Kind = (typeof KINDS)[number]

/** A workload as the others see it. */
export interface Peer {
  readonly spiffeId: string
  readonly port: number
}

/** What the driver wants of a crew. */
export type Order =
  | { readonly order: 'begin'; readonly crew: CrewOptions }
  | { readonly order: 'call'; readonly peers: readonly Peer[] }
  | { readonly order: 'count' }
  /** Copies all credentials, as somebody would who has taken the machine over, and uses nothing else from now on. */
  | { readonly order: 'steal'; readonly peers: readonly Peer[] }
  | { readonly order: 'loot' }
  /** Tries nothing more. */
  | { readonly order: 'giveUp' }

/** The workloads of one process. */
export interface CrewOptions {
  readonly trustDomain: string
  /** Of the Workload API. */
  readonly address: string
  readonly server: string
  readonly spiffeIds: readonly string[]
  readonly pace: number
}

/** What a crew has seen since it began. */
export interface Count {
  readonly requests: number
  /** By the side that verified. */
  readonly verified: { readonly [kind in Kind]: number }
  /** Reasons, and how often. */
  readonly failed: { readonly [reason: string]: number }
  /** Connections that the other side had closed when they were to be used again; the request went over a new one. */
  readonly reconnected: number
  /** Keys that were exchanged for new ones; of JWT-SVIDs, which have none, tokens. */
  readonly rotated: { readonly 'x509-svid': number; readonly wit: number; readonly 'jwt-svid': number }
  /** Workloads that have an identity now. */
  readonly served: number
  /** Seconds of processor time. */
  readonly cpu: number
}

/** How stolen credentials fared, per kind. */
export interface Loot {
  readonly tried: number
  /** Milliseconds since the epoch: the end of the last request that somebody accepted; 0: none was. */
  readonly lastAccepted: { readonly [kind in Kind]: number }
  /** Requests that were refused after the last one that was accepted, at the verifier where they are fewest. */
  readonly refusedSince: { readonly [kind in Kind]: number }
}

/** What a crew answers to each order. */
export interface Answers {
  begin: readonly Peer[]
  call: true
  count: Count
  steal: true
  loot: Loot
  giveUp: true
}

/** Gives an order to the process of a crew and waits for the answer. */
export function orderOf<K extends Order['order']>(
  child: ChildProcess,
  order: Extract<Order, { readonly order: K }>,
): Promise<Answers[K]> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      child.off('message', onMessage).off('exit', onExit)
      finish()
    }
    const onMessage = (message: {
      readonly to: string
      readonly answer?: Answers[K]
      readonly error?: string
    }): void => {
      if (message.to !== order.order) return
      const { answer, error } = message
      settle(() => (answer === undefined ? reject(new Error(`${order.order}: ${error}`)) : resolve(answer)))
    }
    const onExit = (code: number | null): void => settle(() => reject(new Error(`a crew ended (${code})`)))
    child.on('message', onMessage).on('exit', onExit)
    child.send(order)
  })
}
