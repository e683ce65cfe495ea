import type { Reply, Route } from '../http/route.ts'

/** What the routes about the server itself show. */
export interface OperationRoutesOptions {
  readonly isReady: () => boolean
  readonly metrics: () => string
  readonly status: () => object
  /** Everybody may read the metrics over HTTPS, too. */
  readonly openMetrics: boolean
}

/** Health, metrics and state of the server. The description of the API is added by {@link openApiRoute}. */
export function operationRoutes({ isReady, metrics, status, openMetrics }: OperationRoutesOptions): readonly Route[] {
  const open = { access: 'public', entrances: ['unix', 'https'] } as const
  // How many agents, refusals and issuances there are is no business of strangers.
  const numbers = {
    method: 'GET',
    path: '/metrics',
    summary: 'Gives numbers in the Prometheus text format; over HTTPS to operators, unless listen.openMetrics is set.',
    handle: (): Reply => ({
      status: 200,
      text: { type: 'text/plain; version=0.0.4; charset=utf-8', content: metrics() },
    }),
  } as const
  const plain = (content: string) => ({ type: 'text/plain; charset=utf-8', content })
  return [
    {
      ...open,
      method: 'GET',
      path: '/healthz',
      summary: 'Says that the process answers.',
      handle: () => ({ status: 200, text: plain('ok\n') }),
    },
    {
      ...open,
      method: 'GET',
      path: '/readyz',
      summary:
        'Says whether requests should be sent here: 503 while starting, stopping, or when the log cannot be kept.',
      handle: () => (isReady() ? { status: 200, text: plain('ready\n') } : { status: 503, text: plain('not ready\n') }),
    },
    { ...numbers, access: 'public', entrances: ['unix'] },
    { ...numbers, access: openMetrics ? 'public' : 'admin', entrances: ['https'] },
    {
      method: 'GET',
      path: '/v1/status',
      access: 'admin',
      entrances: ['unix', 'https'],
      summary: 'Shows trust domain, profiles, keys and the size of the log.',
      handle: () => ({ status: 200, body: status() }),
    },
  ]
}
