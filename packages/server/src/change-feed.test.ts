import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createChangeFeed } from './change-feed.ts'

const long = 60_000
const never = new AbortController().signal

test('who has an older or a foreign state does not wait', async () => {
  const feed = createChangeFeed(() => 7)
  await feed.wait(6, { timeout: long, signal: never })
  await feed.wait(900, { timeout: long, signal: never })
  assert.equal(feed.revision(), 7)
})

test('who waits is woken by a change, by the end of the time, and by giving up', async () => {
  let revision = 1
  const feed = createChangeFeed(() => revision)
  const woken = feed.wait(1, { timeout: long, signal: never })
  revision = 2
  feed.notify()
  await woken
  await feed.wait(2, { timeout: 5, signal: never })
  const given = new AbortController()
  const waiting = feed.wait(2, { timeout: long, signal: given.signal })
  given.abort()
  await waiting
})

test('more than 40 at once are refused, and those who waited are not', async () => {
  const feed = createChangeFeed(() => 1, 40)
  const waiting = Array.from({ length: 40 }, () => feed.wait(1, { timeout: long, signal: never }))
  await assert.rejects(feed.wait(1, { timeout: long, signal: never }), { code: 'operation.busy' })
  feed.notify()
  await Promise.all(waiting)
})

test('all who wait are woken, a few at a time, and others have their turn in between', async () => {
  let revision = 1
  const feed = createChangeFeed(() => revision)
  let woken = 0
  const waiting = Array.from({ length: 1000 }, () =>
    feed.wait(1, { timeout: long, signal: never }).then(() => {
      woken += 1
    }),
  )
  revision = 2
  feed.notify()
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(woken > 0 && woken < 1000, `${woken}`)
  await Promise.all(waiting)
  assert.equal(woken, 1000)
})
