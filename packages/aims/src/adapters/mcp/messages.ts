// What of the SDK's types is used here: those of version 1 and 2 have it both.

/** A message of JSON-RPC as the SDK has read it. */
export interface McpMessage {
  readonly jsonrpc?: '2.0'
  readonly id?: string | number | null | undefined
  readonly method?: string | undefined
  readonly params?: { readonly [name: string]: unknown } | undefined
  readonly result?: { readonly [name: string]: unknown } | undefined
  readonly error?: object | undefined
}

/** What a transport of the SDK knows of the request that brought a message. */
export interface McpMessageExtra {
  readonly authInfo?: { readonly extra?: Record<string, unknown> | undefined } | undefined
}

/** A transport of the SDK. */
export interface McpTransport {
  onmessage?(message: McpMessage, extra?: McpMessageExtra): void
  onerror?(error: Error): void
  send(message: McpMessage, ...rest: readonly never[]): Promise<void>
}

/** A server of the SDK, or what it keeps inside. */
export interface McpEndpoint {
  connect(transport: never): Promise<void>
}

/** True for a JSON object. */
export function isRecord(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
