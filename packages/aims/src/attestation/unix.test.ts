import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import fc from 'fast-check'
import { AimsError } from '../base/errors.ts'
import { parseCgroup, parseStartTime, parseStatus, systemdUnit } from './proc.ts'
import { unixAttestor } from './unix.ts'

const PID = 4711
const STATUS = 'Name:\tbot\nUid:\t0\t1000\t0\t0\nGid:\t0\t1001\t0\t0\nGroups:\t27 1001 4242 \n'

let root: string
let program: string

function write(file: string, content: string): void {
  writeFileSync(join(root, String(PID), file), content)
}

function stat(startTime: number | string, state = 'S', name = 'bot'): string {
  return `${PID} (${name}) ${state} 1 ${Array.from({ length: 17 }, () => '0').join(' ')} ${startTime} 0 0\n`
}

function attestor(overrides: Parameters<typeof unixAttestor>[0] = {}): ReturnType<typeof unixAttestor> {
  return unixAttestor({
    procRoot: root,
    passwdFile: join(root, 'passwd'),
    groupFile: join(root, 'group'),
    systemd: true,
    ...overrides,
  })
}

const peer = (): { pid: number; uid: number; gid: number } => ({ pid: PID, uid: 1000, gid: 1001 })
const now = { now: 1_800_000_000 }
const code =
  (expected: string): ((error: unknown) => boolean) =>
  (error) =>
    AimsError.is(error) && error.code === expected

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'aims-proc-'))
  program = join(root, 'bot')
  writeFileSync(program, 'program')
  writeFileSync(
    join(root, 'passwd'),
    'root:x:0:0::/root:/bin/sh\nalice:x:1000:1001::/:/bin/sh\nmallory:x:1000:1::/:/\n',
  )
  writeFileSync(join(root, 'group'), 'sudo:x:27:\nagents:x:1001:alice\n')
  mkdirSync(join(root, String(PID)))
  mkdirSync(join(root, 'self/fdinfo'), { recursive: true })
  write('stat', stat(5000))
  write('status', STATUS)
  write('cgroup', '0::/system.slice/bot.service\n')
  symlinkSync(program, join(root, String(PID), 'exe'))
})

afterEach(() => rmSync(root, { recursive: true }))

test('a process is told by its effective ids, names, groups, program, control group and unit', async () => {
  const result = await attestor().attest(peer(), now)
  assert.deepEqual(result, {
    type: 'unix',
    selectors: [
      'unix:uid:1000',
      'unix:user:alice',
      'unix:gid:1001',
      'unix:group:agents',
      'unix:supplementary_gid:27',
      'unix:supplementary_group:sudo',
      'unix:supplementary_gid:1001',
      'unix:supplementary_group:agents',
      'unix:supplementary_gid:4242',
      `unix:path:${program}`,
      `unix:sha256:${createHash('sha256').update('program').digest('hex')}`,
      'unix:cgroup:/system.slice/bot.service',
      'systemd:unit:bot.service',
    ],
    verifiedAt: now.now,
    binding: 'channel',
    freshness: 'live',
    debug: false,
    warnings: [],
    attributes: { pid: '4711', start_time: '5000', pinned: 'false' },
  })
})

describe('a process that is not, or not any more, the one that connected is refused', () => {
  const rows: readonly (readonly [string, string, () => object])[] = [
    ['a PID of another namespace', 'attestation.foreign_pid_namespace', () => ({ ...peer(), pid: 0 })],
    ['a negative PID', 'attestation.foreign_pid_namespace', () => ({ ...peer(), pid: -1 })],
    ['a process that has ended', 'attestation.process_gone', () => ({ ...peer(), pid: 4712 })],
    ['a zombie', 'attestation.process_gone', () => having(() => write('stat', stat(5000, 'Z')))],
    ['a stat that vanished', 'attestation.process_gone', () => having(() => unlinkSync(join(root, '4711/stat')))],
    ['a status that vanished', 'attestation.process_gone', () => having(() => unlinkSync(join(root, '4711/status')))],
    ['an exe that vanished', 'attestation.process_gone', () => having(() => unlinkSync(join(root, '4711/exe')))],
    ['another effective uid than at connect', 'attestation.process_changed', () => ({ ...peer(), uid: 0 })],
    ['another effective gid than at connect', 'attestation.process_changed', () => ({ ...peer(), gid: 0 })],
    [
      'a stat without a start time',
      'attestation.process_malformed',
      () => having(() => write('stat', '4711 (bot) S 1\n')),
    ],
    ['a start time that is no number', 'attestation.process_malformed', () => having(() => write('stat', stat('x')))],
    [
      'a status without Uid',
      'attestation.process_malformed',
      () => having(() => write('status', 'Gid:\t1\t1\t1\t1\n')),
    ],
    ['a status with short ids', 'attestation.process_malformed', () => having(() => write('status', 'Uid:\t1\n'))],
    ['a pidfd whose process was reaped', 'attestation.process_gone', () => pinned('Pid:\t-1\n')],
    ['a pidfd that is closed', 'attestation.process_gone', () => ({ ...peer(), pidfd: 98 })],
    ['a pidfd of another process', 'attestation.process_changed', () => pinned('Pid:\t4712\n')],
  ]
  for (const [title, expected, evidence] of rows) {
    test(title, async () => {
      await assert.rejects(attestor().attest(evidence() as ReturnType<typeof peer>, now), code(expected))
    })
  }
})

function having(change: () => void): object {
  change()
  return peer()
}

function pinned(fdinfo: string): object {
  writeFileSync(join(root, 'self/fdinfo/99'), `pos:\t0\nflags:\t02\n${fdinfo}`)
  return { ...peer(), pidfd: 99 }
}

test('a living pidfd pins the process', async () => {
  const result = await attestor().attest(pinned('Pid:\t4711\n') as ReturnType<typeof peer>, now)
  assert.equal(result.attributes.pinned, 'true')
})

test('a PID that passed to another process is noticed by its start time on the next call of the connection', async () => {
  const unix = attestor()
  const connection = peer()
  await unix.attest(connection, now)
  write('stat', stat(6000))
  await assert.rejects(unix.attest(connection, now), code('attestation.process_changed'))
  // A new connection of the new process is its own.
  assert.equal((await unix.attest(peer(), now)).attributes.start_time, '6000')
})

test('connections of one process that are attested at once share the look at it, and nothing that is their own', async () => {
  const unix = attestor()
  const old = peer()
  await unix.attest(old, now)
  write('stat', stat(6000))
  const living = pinned('Pid:\t4711\n') as ReturnType<typeof peer>
  const evidence = [living, peer(), { ...peer(), pidfd: 98 }, { ...peer(), uid: 0 }, { ...peer(), gid: 0 }, old]
  const answers = await Promise.allSettled(evidence.map((one) => unix.attest(one, now)))
  assert.deepEqual(
    answers.map((one) => (one.status === 'fulfilled' ? one.value.attributes.start_time : one.reason.code)),
    ['6000', '6000', 'attestation.process_gone', ...Array(3).fill('attestation.process_changed')],
  )
  write('status', STATUS.replace('1000', '0'))
  await assert.rejects(unix.attest(living, now), code('attestation.process_changed'), 'no look outlives itself')
})

test('a process that changes while it is looked at is refused', async () => {
  writeFileSync(program, Buffer.alloc(8 * 1024 * 1024))
  for (const change of [
    () => write('stat', stat(6000)),
    () => write('status', STATUS.replace('1000', '0')),
    () => {
      // In one step, as the kernel does it: without a program in between, there would be nothing to tell.
      writeFileSync(join(root, 'other'), 'other program')
      symlinkSync(join(root, 'other'), join(root, 'exe'))
      renameSync(join(root, 'exe'), join(root, '4711/exe'))
    },
  ]) {
    const attesting = attestor().attest(peer(), now)
    await new Promise((resolve) => setImmediate(resolve))
    change()
    await assert.rejects(attesting, code('attestation.process_changed'))
    write('stat', stat(5000))
    write('status', STATUS)
  }
})

test('a program whose file is linked once more while it is hashed is the same program', async () => {
  const content = Buffer.alloc(32 * 1024 * 1024, 'a')
  writeFileSync(program, content)
  for (let links = 1; links <= 3; links += 1) {
    const attesting = attestor().attest(peer(), now)
    await new Promise((resolve) => setImmediate(resolve))
    linkSync(program, join(root, `backup-${links}`))
    const { selectors } = await attesting
    assert.ok(selectors.includes(`unix:sha256:${createHash('sha256').update(content).digest('hex')}`))
    assert.ok(selectors.includes(`unix:path:${program}`))
  }
})

test('a program whose file is touched all the time is not told', async () => {
  writeFileSync(program, Buffer.alloc(1024 * 1024))
  const attesting = attestor().attest(peer(), now)
  let isOver = false
  const touch = (): void => {
    // Another time each turn: the clock of the file system stands still for milliseconds.
    utimesSync(program, 1, Math.random() * 1e9)
    if (!isOver) setImmediate(touch)
  }
  touch()
  try {
    await assert.rejects(attesting, code('attestation.process_changed'))
  } finally {
    isOver = true
  }
})

test('a program larger than the limit has no digest, and keeps its path', async () => {
  const { selectors } = await attestor({ maxExecutableSize: 6 }).attest(peer(), now)
  assert.ok(selectors.includes(`unix:path:${program}`))
  assert.equal(
    selectors.some((selector) => selector.startsWith('unix:sha256:')),
    false,
  )
})

test('a path with control characters is not a selector', async () => {
  const control = join(root, 'line\nfeed')
  writeFileSync(control, 'program')
  unlinkSync(join(root, '4711/exe'))
  symlinkSync(control, join(root, '4711/exe'))
  const { selectors } = await attestor().attest(peer(), now)
  assert.equal(
    selectors.some((selector) => selector.startsWith('unix:path:')),
    false,
  )
  assert.ok(selectors.some((selector) => selector.startsWith('unix:sha256:')))
})

test('a changed program is hashed anew', async () => {
  const unix = attestor()
  await unix.attest(peer(), now)
  writeFileSync(program, 'programme')
  const { selectors } = await unix.attest(peer(), now)
  assert.ok(selectors.includes(`unix:sha256:${createHash('sha256').update('programme').digest('hex')}`))
})

test('names follow the account files, and an id without a name has none', async () => {
  const unix = attestor()
  await unix.attest(peer(), now)
  writeFileSync(join(root, 'passwd'), '+::::::\nbob:x:1000\nno spaces allowed:x:1000:1::\n')
  unlinkSync(join(root, 'group'))
  const { selectors } = await unix.attest(peer(), now)
  assert.ok(selectors.includes('unix:user:bob'))
  assert.equal(
    selectors.some((selector) => selector.includes('group:') && !selector.includes('cgroup')),
    false,
  )
})

test('systemd units are named only where systemd made the control groups', async () => {
  const { selectors } = await attestor({ systemd: false }).attest(peer(), now)
  assert.ok(selectors.includes('unix:cgroup:/system.slice/bot.service'))
  assert.equal(
    selectors.some((selector) => selector.startsWith('systemd:')),
    false,
  )
})

test('the unit is the one the system manager made, never one that a user made below it', () => {
  assert.equal(systemdUnit('/system.slice/bot.service'), 'bot.service')
  assert.equal(systemdUnit('/system.slice/bot.service/sub/evil.service'), 'bot.service')
  assert.equal(systemdUnit('/system.slice/system-bot.slice/bot@1.service'), 'bot@1.service')
  assert.equal(systemdUnit('/user.slice/user-1.slice/user@1.service/app.slice/bot.service'), 'user@1.service')
  for (const path of ['/', '/kubepods/pod1', '/system.slice', '/a b.service', '/docker/x.service']) {
    assert.equal(systemdUnit(path), undefined, path)
  }
})

test('the control group is the unified one, or that of systemd', () => {
  assert.equal(parseCgroup('0::/a\n'), '/a')
  assert.equal(parseCgroup('9:name=systemd:/b\n4:memory:/evil\n0::/\n'), '/b')
  assert.equal(parseCgroup('9:name=systemd:/b\n0::/c:d\n'), '/c:d')
  for (const text of ['', '4:memory:/evil\n', '0::relative\n', '0::/bell\u0007\n', 'x::/a\n']) {
    assert.equal(parseCgroup(text), undefined, JSON.stringify(text))
  }
})

test('a program cannot forge its start time by its name', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 15 }), fc.nat(), (name, startTime) => {
      assert.equal(parseStartTime(stat(startTime, 'S', name)), String(startTime))
    }),
  )
  assert.equal(parseStartTime(stat(7, 'S', `) Z 1 ${Array(17).fill(0).join(' ')} 9`)), '7')
})

test('any text as stat or status is read or refused with a code of attestation', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const parse of [parseStartTime, parseStatus]) {
        try {
          parse(text)
        } catch (error) {
          assert.ok(AimsError.is(error) && error.code.startsWith('attestation.'))
        }
      }
    }),
  )
})

test('this very process is read from the real /proc', async () => {
  const self = { pid: process.pid, uid: process.geteuid?.() ?? -1, gid: process.getegid?.() ?? -1 }
  const { selectors } = await unixAttestor().attest(self, now)
  assert.ok(selectors.includes(`unix:uid:${self.uid}`))
  assert.ok(
    selectors.includes(`unix:sha256:${createHash('sha256').update(readFileSync(process.execPath)).digest('hex')}`),
  )
})
