import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSealer, type Sealed, sealInTypes } from './seal.ts'

interface Ticket extends Sealed<'Ticket'> {
  readonly seat: number
}

test('only the object that was sealed is sealed', () => {
  const sealer = createSealer<Ticket>()
  const ticket = sealer.seal({ seat: 1 })
  assert.deepEqual(ticket, { seat: 1 })
  assert.ok(Object.isFrozen(ticket))
  assert.equal(sealer.isSealed(ticket), true)
  for (const other of [
    { ...ticket },
    structuredClone(ticket),
    JSON.parse(JSON.stringify(ticket)),
    Object.create(ticket),
    new Proxy(ticket, {}),
    createSealer<Ticket>().seal({ seat: 1 }),
    null,
    undefined,
    'ticket',
  ]) {
    assert.equal(sealer.isSealed(other), false)
  }
})

test('a sealed type cannot be written by hand', () => {
  // @ts-expect-error the seal is missing, and has no name outside
  const forged: Ticket = { seat: 1 }
  const made: Ticket = sealInTypes<Ticket>({ seat: 1 })
  assert.deepEqual(made, forged)
  assert.ok(Object.isFrozen(made))
})
