import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { keepDoing } from './chores.ts'

test('a chore that fails or hangs keeps no other from being done, and is begun once at a time', async () => {
  const begun = { throwing: 0, rejecting: 0, hanging: 0, last: 0 }
  const failures: unknown[] = []
  let release = (): void => undefined
  const stop = keepDoing(
    [
      () => {
        begun.throwing += 1
        throw new Error('threw')
      },
      () => {
        begun.rejecting += 1
        return Promise.reject(new Error('rejected'))
      },
      () => {
        begun.hanging += 1
        return new Promise<void>((resolve) => {
          release = resolve
        })
      },
      () => {
        begun.last += 1
      },
    ],
    { interval: 5, failed: (error) => failures.push(error) },
  )
  const until = async (isThere: () => boolean): Promise<void> => {
    for (const end = Date.now() + 30_000; !isThere() && Date.now() < end; ) await wait(2)
  }
  await until(() => begun.last >= 3)
  assert.ok(begun.last >= 3 && begun.throwing >= 3 && begun.rejecting >= 3)
  assert.equal(begun.hanging, 1)
  assert.deepEqual(new Set(failures.map(String)), new Set(['Error: threw', 'Error: rejected']))
  release()
  await until(() => begun.hanging === 2)
  assert.equal(begun.hanging, 2)
  stop()
  const { last } = begun
  await wait(50)
  assert.equal(begun.last, last)
})
