// What holds a credential in the public API can be used, and not be printed, copied or sent.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { noObserver, WorkloadKey } from 'aims/base'
import { connectWorkload } from 'aims/provisioning'
import { HeldSecret, WorkloadApiServer } from 'aims-agent'
import { IssuingBackend } from '../support/issuing-backend.ts'
import { credentialsOfKey } from './credentials.ts'
import { PRINTERS } from './printers.ts'
import { Scanner, tokenCredentials } from './scanner.ts'

const directory = mkdtempSync(join(tmpdir(), 'aims-objects-'))
const backend = await IssuingBackend.create()
backend.set([{ spiffeId: 'spiffe://example.com/agent/bot' }])
const server = await WorkloadApiServer.start({ socketPath: join(directory, 's'), backend, observer: noObserver })
const workload = await connectWorkload({ address: server.address })
after(async () => {
  workload[Symbol.dispose]()
  await server.close()
  rmSync(directory, { recursive: true })
})
const wit = workload.wit.wit()
const x509 = workload.x509.x509Svid()
const jwt = await workload.jwt.jwtSvid('https://api.example.com')
const secret = new HeldSecret('wk_live+7Hq2/9fXb4Tz0LmN8sVd')
const key = WorkloadKey.generate()

const scanner = new Scanner([
  ...tokenCredentials('WIT', wit.token),
  ...tokenCredentials('JWT-SVID', jwt.token),
  ...credentialsOfKey('key of the WIT', wit.key),
  ...credentialsOfKey('key of the X.509-SVID', x509.key),
  ...credentialsOfKey('key', key),
  { name: 'secret', bytes: Buffer.from(secret.reveal()) },
])

const OBJECTS: { readonly [name: string]: object } = {
  Wit: wit,
  'key of a Wit': wit.key,
  X509Svid: x509,
  'key of an X509Svid': x509.key,
  JwtSvid: jwt,
  WorkloadKey: key,
  HeldSecret: secret,
  Workload: workload,
  WorkloadWitSource: workload.wit,
  WorkloadX509Source: workload.x509,
  WorkloadJwtSource: workload.jwt,
}

for (const [name, value] of Object.entries(OBJECTS)) {
  for (const [how, print] of Object.entries(PRINTERS)) {
    test(`${name} shows no credential by ${how} [provisioning.egress.12]`, () => {
      assert.deepEqual(scanner.scan(print(value)), [])
    })
  }
}

test('these objects can be used all the same', () => {
  assert.ok(scanner.scan(wit.token).length > 0)
  assert.ok(scanner.scan(secret.reveal()).length > 0)
  assert.equal(key.sign(Buffer.from('a')).length, 64)
})

for (const one of [key, secret]) {
  test(`${one.constructor.name} refuses to be serialised`, () => {
    assert.throws(() => JSON.stringify(one), { code: 'key.not_serializable' })
  })
}
