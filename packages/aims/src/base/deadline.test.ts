import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startDeadline } from './deadline.ts'

const timers = (t: TestContext): TestContext['mock']['timers'] => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  return t.mock.timers
}

test('a deadline aborts when its time is up, and says that it was the time', (t) => {
  const time = timers(t)
  using deadline = startDeadline(100)
  time.tick(99)
  assert.deepEqual([deadline.signal.aborted, deadline.isOver()], [false, false])
  time.tick(1)
  assert.deepEqual([deadline.signal.aborted, deadline.isOver()], [true, true])
  assert.equal(deadline.signal.reason.name, 'TimeoutError')
})

test('whoever gives up before the time ends it, also when that was before it began', () => {
  const given = new AbortController()
  using deadline = startDeadline(60_000, given.signal)
  assert.equal(deadline.signal.aborted, false)
  given.abort()
  using late = startDeadline(60_000, given.signal)
  for (const { signal, isOver } of [deadline, late]) assert.deepEqual([signal.aborted, isOver()], [true, false])
})

test('work that is done has no deadline any more', (t) => {
  const time = timers(t)
  const deadline = startDeadline(100)
  deadline[Symbol.dispose]()
  time.tick(1000)
  assert.deepEqual([deadline.signal.aborted, deadline.isOver()], [false, false])
})
