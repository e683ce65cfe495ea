import { AimsError } from 'aims/base'
import { serializeBundle, serializeBundleMap } from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import type { Federation } from '../federation/federation.ts'
import type { Route } from '../http/route.ts'
import type { Authorities } from '../keys/authority-types.ts'
import { actorOf, objectBody, textMember } from './read.ts'

// The body of a request may hold a bundle and authorities.
const TEXT = { type: 'string', maxLength: 200_000 } as const

/** Relationships with other trust domains: whose bundles are fetched, from where, and how that goes. */
export function federationRoutes(federation: Federation, authorities: Authorities): readonly Route[] {
  const common = { access: 'admin', entrances: ['unix', 'https'] } as const
  return [
    {
      ...common,
      method: 'GET',
      path: '/v1/federation',
      summary: 'Lists the relationships with other trust domains, and how their last fetch went.',
      handle: () => ({ status: 200, body: { relationships: federation.list() } }),
    },
    {
      ...common,
      method: 'GET',
      path: '/v1/bundle-map',
      summary: 'Gives the bundle of the own trust domain and those of all others as a SPIFFE bundle map.',
      handle: () => {
        const bundles = [authorities.bundle(), ...federation.bundles()]
        return {
          status: 200,
          text: { type: 'application/json', content: serializeBundleMap(bundles, { includeWit: true }) },
        }
      },
    },
    {
      ...common,
      method: 'GET',
      path: '/v1/federation/{trustDomain}',
      summary: 'Shows one relationship.',
      handle: ({ params }) => ({ status: 200, body: federation.show(params.trustDomain ?? '') }),
    },
    {
      ...common,
      method: 'PUT',
      path: '/v1/federation/{trustDomain}',
      summary: 'Begins a relationship, or puts another one in its place, which begins anew. Nothing is inferred.',
      body: {
        type: 'object',
        properties: {
          url: { type: 'string', maxLength: 2048, description: 'The bundle endpoint' },
          profile: { type: 'string', maxLength: 16, enum: ['https_web', 'https_spiffe'] },
          endpointSpiffeId: { type: 'string', maxLength: 2048, description: 'https_spiffe: exactly who serves it' },
          bundle: { ...TEXT, description: 'The bundle to begin with, as text: a SPIFFE bundle or PEM' },
          authorities: {
            ...TEXT,
            description: 'https_web: PEM of the authorities to trust instead of those of the web',
          },
          networks: { type: 'array', maxItems: 32, items: { type: 'string', maxLength: 64 } },
          redirects: { type: 'boolean', description: 'Whether redirects are followed, three at most; default true' },
        },
        required: ['url', 'profile'],
      },
      handle: async (call) => {
        const { trustDomain } = call.params
        return { status: 200, body: await federation.set({ ...objectBody(call), trustDomain }, actorOf(call)) }
      },
    },
    {
      ...common,
      method: 'DELETE',
      path: '/v1/federation/{trustDomain}',
      summary: 'Ends a relationship: the bundle is taken from all workloads, and nothing is fetched any more.',
      handle: async (call) => {
        await federation.end(call.params.trustDomain ?? '', actorOf(call))
        return { status: 204 }
      },
    },
    {
      ...common,
      method: 'POST',
      path: '/v1/federation/{trustDomain}/refresh',
      summary: 'Fetches the bundle now. How it went is in lastError; what was held before stays when it failed.',
      query: { acceptRollback: 'true: take a bundle that is older, or another one under the same sequence number' },
      handle: async (call) => {
        const acceptRollback = call.query.acceptRollback === 'true'
        return {
          status: 200,
          body: await federation.refresh(call.params.trustDomain ?? '', actorOf(call), { acceptRollback }),
        }
      },
    },
    {
      ...common,
      method: 'GET',
      path: '/v1/federation/{trustDomain}/bundle',
      summary: 'Gives the bundle of another trust domain, as workloads get it.',
      handle: ({ params: { trustDomain = '' } }) => {
        federation.show(trustDomain)
        const bundle = federation.bundleFor(parseTrustDomain(trustDomain))
        if (bundle === undefined) {
          throw new AimsError('provisioning.federation_not_found', 'no bundle of this trust domain was fetched yet')
        }
        return {
          status: 200,
          text: { type: 'application/json', content: serializeBundle(bundle, { includeWit: true }) },
        }
      },
    },
    {
      ...common,
      method: 'PUT',
      path: '/v1/federation/{trustDomain}/bundle',
      summary: 'Takes a bundle that an operator has, for a relationship that is there. Older ones are refused.',
      body: {
        type: 'object',
        properties: { bundle: { ...TEXT, description: 'A SPIFFE bundle, as text' } },
        required: ['bundle'],
      },
      handle: async (call) => {
        const document = textMember(objectBody(call), 'bundle')
        return {
          status: 200,
          body: await federation.importBundle(call.params.trustDomain ?? '', document, actorOf(call)),
        }
      },
    },
  ]
}
