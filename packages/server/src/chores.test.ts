import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { AimsError } from 'aims/base'
import { eventuallyTrue } from '../../../test/support/eventually.ts'
import { keepDoing } from './chores.ts'

test('a chore that fails or hangs keeps no other from being done, and is begun once at a time', async () => {
  const begun = { throwing: 0, rejecting: 0, hanging: 0, last: 0 }
  const lines: string[] = []
  let release = (): void => undefined
  const stop = keepDoing(
    {
      throwing: () => {
        begun.throwing += 1
        throw new Error('threw')
      },
      rejecting: () => {
        begun.rejecting += 1
        return Promise.reject(new Error('rejected'))
      },
      hanging: () => {
        begun.hanging += 1
        return new Promise<void>((resolve) => {
          release = resolve
        })
      },
      last: () => {
        begun.last += 1
      },
    },
    { interval: 5, log: (line) => lines.push(line) },
  )
  await eventuallyTrue(async () => begun.last >= 3)
  assert.ok(begun.throwing >= 3 && begun.rejecting >= 3)
  assert.equal(begun.hanging, 1)
  assert.deepEqual(lines, ['aims server: throwing: threw', 'aims server: rejecting: rejected'])
  release()
  await eventuallyTrue(async () => begun.hanging === 2)
  stop()
  const { last } = begun
  await wait(50)
  assert.equal(begun.last, last)
})

test('a chore that fails is told of once, for each reason, and when it is done again', async () => {
  const busy = new AimsError('storage.busy', 'the database is held')
  const full = new AimsError('storage.full', 'the disk is full')
  const lines: string[] = []
  // What the rounds meet, one after the other; the last of all again and again.
  const rounds: (Error | undefined)[] = [undefined, busy, busy, busy, full, full, undefined, undefined, busy, undefined]
  let round = 0
  const stop = keepDoing(
    {
      authorities: async () => {
        const trouble = rounds[round]
        round += 1
        if (trouble !== undefined) throw trouble
      },
      others: () => undefined,
    },
    { interval: 1, log: (line) => lines.push(line) },
  )
  await eventuallyTrue(async () => round > rounds.length)
  stop()
  assert.deepEqual(lines, [
    'aims server: authorities: storage.busy: the database is held',
    'aims server: authorities: storage.full: the disk is full',
    'aims server: authorities: done again, after storage.full',
    'aims server: authorities: storage.busy: the database is held',
    'aims server: authorities: done again, after storage.busy',
  ])
})
