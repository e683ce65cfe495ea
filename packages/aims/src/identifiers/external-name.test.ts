import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { mapExternalNames } from './external-name.ts'
import { parseSpiffeId } from './spiffe-id.ts'

const events = parseSpiffeId('spiffe://example.com/service/events-api')
const admin = parseSpiffeId('spiffe://example.com/service/admin')
const map = mapExternalNames({
  'events.example.com': events,
  'events.example.com:8443': admin,
  'http://both.example.com': admin,
  'both.example.com': events,
  'grpc://queue.example.com:50051': events,
})

describe('mapExternalNames', () => {
  // [identifiers.wimse-id.18]
  const known: readonly (readonly [name: string | URL, id: string])[] = [
    ['events.example.com', events],
    ['EVENTS.example.com', events],
    ['https://events.example.com/api/v1/events?x=1', events],
    ['https://events.example.com:443/', events],
    [new URL('https://events.example.com:8443/'), admin],
    ['events.example.com:8443', admin],
    ['http://both.example.com/', admin],
    ['https://both.example.com/', events],
    ['grpc://queue.example.com:50051', events],
  ]
  for (const [name, id] of known) {
    test(`maps ${name}`, () => {
      assert.equal(map(name), id)
    })
  }

  // [identifiers.wimse-id.19]
  for (const name of [
    'example.com',
    'a.events.example.com',
    'events.example.com.',
    'events.example.com:9999',
    'https://events.example.com:9999/',
    'https://events.example.com@evil.example/',
    'https://evil.example/events.example.com',
    'events.example.com/path',
    'queue.example.com',
    'https://queue.example.com:50051',
    '__proto__',
    'constructor',
    '',
    'null',
    'https://',
    'not a name',
    'spiffe://example.com/service/events-api',
  ]) {
    test(`expects nobody behind ${JSON.stringify(name)}`, () => {
      assert.equal(map(name), undefined)
    })
  }

  for (const key of [
    '',
    '*.example.com/',
    'https://events.example.com/',
    'Events.example.com',
    'a b',
    'h:443',
    'u@h',
  ]) {
    test(`refuses the key ${JSON.stringify(key)}`, () => {
      assert.throws(() => mapExternalNames({ [key]: events }), TypeError)
    })
  }
})
