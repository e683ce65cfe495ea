import { ERROR_CODES } from 'aims/base'
import type { Route } from '../http/route.ts'

/** Adds the route that describes all routes, itself included, as OpenAPI 3.1. */
export function withOpenApi(routes: readonly Route[], version: string): readonly Route[] {
  const route: Route = {
    method: 'GET',
    path: '/v1/openapi.json',
    access: 'public',
    entrances: ['unix', 'https'],
    summary: 'Describes this API.',
    handle: () => ({ status: 200, body: openApiDocument(all, version) }),
  }
  const all = [...routes, route]
  return all
}

/** The OpenAPI 3.1 document of a list of routes. */
function openApiDocument(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    const operations = paths[route.path] ?? {}
    operations[route.method.toLowerCase()] = operation(route)
    paths[route.path] = operations
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'AIMS server',
      version,
      description:
        'Callers are known by the kernel (Unix socket) or by their X.509-SVID (HTTPS). x-aims-access says who may call, x-aims-entrances where.',
    },
    paths,
    components: {
      responses: {
        problem: {
          description: 'Refused (RFC 9457). The id finds the records of the request.',
          content: {
            'application/problem+json': {
              schema: {
                type: 'object',
                required: ['title', 'status', 'code', 'id'],
                properties: {
                  title: { type: 'string' },
                  status: { type: 'integer' },
                  code: { type: 'string', enum: Object.keys(ERROR_CODES) },
                  detail: { type: 'string' },
                  id: { type: 'string' },
                },
              },
            },
          },
        },
      },
    },
  }
}

function operation({ path, method, summary, access, entrances, query = {}, body }: Route): object {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  const inQuery = Object.entries(query).map(([name, description]) => ({
    name,
    in: 'query',
    description,
    schema: { type: 'string' },
  }))
  const requestBody = { required: true, content: { 'application/json': { schema: body } } }
  return {
    operationId: `${method.toLowerCase()}${path.replace(/[^A-Za-z0-9]+(\w?)/g, (_, c: string) => c.toUpperCase())}`,
    summary,
    'x-aims-access': access,
    'x-aims-entrances': entrances,
    ...(inPath.length + inQuery.length > 0 ? { parameters: [...inPath, ...inQuery] } : {}),
    ...(body === undefined ? {} : { requestBody }),
    responses: { '2XX': { description: 'Done.' }, default: { $ref: '#/components/responses/problem' } },
  }
}
