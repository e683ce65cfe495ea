import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, beforeEach, describe, test } from 'node:test'
import fc from 'fast-check'
import { AimsError } from '../../base/errors.ts'
import type { Attestor } from '../attestor.ts'
import type { PeerCredentials } from '../peer-credentials.ts'
import { combinedAttestor } from '../several.ts'
import { unixAttestor } from '../unix.ts'
import { containerOf } from './container-id.ts'
import { type DockerAttestorOptions, dockerAttestor } from './docker.ts'

const A = 'a'.repeat(64)
const B = 'b'.repeat(64)
const IMAGE = `sha256:${'1'.repeat(64)}`
const REPOSITORY = `registry.example/bot@sha256:${'2'.repeat(64)}`
const POD = '00000000-1111-2222-3333-444444444444'
const now = { now: 1_800_000_000 }

describe('the container of a process', () => {
  const rows: readonly (readonly [string, string, string | undefined, string?])[] = [
    ['Docker, version 1', `5:memory:/docker/${A}\n4:cpu:/docker/${A}\n`, A],
    ['Docker with systemd, version 2', `0::/system.slice/docker-${A}.scope\n`, A],
    ['Docker seen from another namespace of control groups', `0::/../${A}\n`, A],
    ['a path with colons', `0::/a:b/docker-${A}.scope\n`, A],
    [
      'containerd in Kubernetes',
      `0::/kubepods.slice/kubepods-pod${POD.replaceAll('-', '_')}.slice/cri-containerd-${A}.scope`,
      A,
      POD,
    ],
    [
      'CRI-O in Kubernetes, beside its service',
      `1:cpu:/kubepods/pod${POD}/crio-${A}\n0::/system.slice/crio.service`,
      A,
      POD,
    ],
    [
      'a pod in a container (kind), beside its containerd',
      `1:cpu:/docker/${B}/kubepods/pod${POD}/${A}\n0::/docker/${B}/x`,
      A,
      POD,
    ],
    ['a container that a container made', `0::/docker/${B}/docker/${A}`, A],
    [
      'a control group that a pod made, named like another pod',
      `0::/kubepods/pod${POD}/${A}/pod${POD.replaceAll('0', 'f')}/${B}`,
      A,
      POD,
    ],
    ['a user', '0::/user.slice/user-1000.slice/session-2.scope', undefined],
    ['63 digits', `0::/docker/${A.slice(1)}`, undefined],
    ['65 digits', `0::/docker/${A}a`, undefined],
    ['nothing', '', undefined],
  ]
  for (const [what, cgroup, id, podUid] of rows) {
    test(`is read from the control group of ${what}`, () => {
      const found = containerOf(cgroup, '')
      assert.deepEqual([found?.containerId, found?.podUid], [id, podUid])
    })
  }

  test('that is mounted does not count where the kernel names one (N31)', () => {
    const mountinfo = `1543 1542 0:32 /docker/${B} /sys/fs/cgroup ro - cgroup2 cgroup rw\n`
    assert.equal(containerOf(`0::/docker/${A}`, mountinfo)?.containerId, A)
    assert.deepEqual(containerOf('0::/', mountinfo), { containerId: B, source: 'mountinfo' })
  })

  test('that is mounted as anything but a control group does not count', () => {
    for (const type of ['tmpfs', 'not-a-cgroup', 'cgroup3', 'proc']) {
      assert.equal(containerOf('0::/', `1 2 0:3 /docker/${B} /x ro - ${type} cgroup rw`), undefined)
    }
  })

  for (const [what, lines] of [
    ['containers', [`1:cpu:/docker/${A}`, `2:memory:/docker/${B}`]],
    ['containers of a pod', [`1:cpu:/pod${POD}/${A}`, `2:memory:/pod${POD}/${B}`]],
    ['pods', [`1:cpu:/pod${POD}/${A}`, `2:memory:/pod${POD.replaceAll('0', 'f')}/${A}`]],
  ] as const) {
    test(`is nobody's guess between two ${what}`, () => {
      assert.throws(() => containerOf(lines.join('\n'), ''), { code: 'attestation.container_ambiguous' })
    })
  }

  test('of any text is told quickly or not at all', () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom('0::/', '/docker/', A, `pod${POD}`, '\n', ' - cgroup ', '1:cpu:'),
    )
    const text = fc.array(piece, { maxLength: 50 }).map((pieces) => pieces.join(''))
    fc.assert(
      fc.property(text, text, (cgroup, mountinfo) => {
        try {
          assert.match(containerOf(cgroup, mountinfo)?.containerId ?? A, /^[0-9a-f]{64}$/)
        } catch (error) {
          assert.ok(AimsError.is(error) && error.code === 'attestation.container_ambiguous')
        }
      }),
    )
  })
})

const PEER = 4711
const FIRST = 4700
const scratch = mkdtempSync(join(tmpdir(), 'aims-docker-'))
let root = ''
let count = 0
let engine: Server | undefined
let asked: string[] = []

const write = (pid: number, name: string, text: string): void => writeFileSync(join(root, String(pid), name), text)
const stat = (pid: number, start = 5000, state = 'S'): string =>
  `${pid} (bot) ${state} 1 ${Array.from({ length: 17 }, () => '0').join(' ')} ${start} 0 0\n`

function process(pid: number, cgroup: string, pidNamespace = 'pid:[2]'): void {
  mkdirSync(join(root, String(pid), 'ns'), { recursive: true })
  write(pid, 'stat', stat(pid))
  write(pid, 'status', 'Uid:\t0\t1000\t0\t0\nGid:\t0\t1001\t0\t0\nGroups:\t\n')
  write(pid, 'cgroup', cgroup)
  write(pid, 'mountinfo', '')
  symlinkSync(pidNamespace, join(root, String(pid), 'ns/pid'))
  symlinkSync('/usr/bin/bot', join(root, String(pid), 'exe'))
}

/** What the Engine answers for a container, as its documentation has it. */
const container = (id: string, change: object = {}): object => ({
  Id: id,
  Name: '/bot',
  Image: IMAGE,
  State: { Status: 'running', Running: true, Paused: false, Pid: FIRST },
  Config: {
    Image: 'registry.example/bot:latest',
    Labels: { 'com.example.team': 'calendar', empty: '' },
    Env: ['PATH=/bin', 'TEAM=calendar', 'DATABASE_PASSWORD=hunter2'],
  },
  HostConfig: { Memory: 9_223_372_036_854_771_712n.toString() },
  ...change,
})

async function serve(answers: { readonly [path: string]: object | RequestListener }): Promise<string> {
  const socketPath = join(scratch, `${count++}.sock`)
  engine = createServer((request, response) => {
    asked.push(request.url ?? '')
    const answer = answers[request.url ?? '']
    if (typeof answer === 'function') answer(request, response)
    else if (answer === undefined)
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"message":"No such"}')
    else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => engine?.listen(socketPath, resolve))
  return socketPath
}

const known = (id = A, change: object = {}) => ({
  [`/containers/${id}/json`]: container(id, change),
  [`/images/${IMAGE}/json`]: { Id: IMAGE, RepoDigests: [REPOSITORY], RepoTags: ['registry.example/bot:latest'] },
})
const peer: PeerCredentials = { pid: PEER, uid: 1000, gid: 1001 }
const attestor = (options: DockerAttestorOptions = {}): Attestor<PeerCredentials> =>
  dockerAttestor({ procRoot: root, ...options })

beforeEach(() => {
  root = join(scratch, `proc-${count++}`)
  asked = []
  process(PEER, `0::/system.slice/docker-${A}.scope/child\n`)
  process(FIRST, `0::/system.slice/docker-${A}.scope\n`)
  mkdirSync(join(root, 'self/ns'), { recursive: true })
  symlinkSync('pid:[1]', join(root, 'self/ns/pid'))
})
afterEach(async () => {
  engine?.closeAllConnections()
  await new Promise<void>((resolve) => (engine === undefined ? resolve() : engine.close(() => resolve())))
  engine = undefined
})
after(() => rmSync(scratch, { recursive: true, force: true }))

describe('a process in a container', () => {
  test('is told by what the engine started there, by digest', async () => {
    const socketPath = await serve(known())
    const result = await attestor({ socketPath, environment: ['TEAM'] }).attest(peer, now)
    assert.deepEqual(result.selectors, [
      `docker:image_config_digest:${IMAGE}`,
      `docker:image_digest:${REPOSITORY}`,
      'docker:image_id:registry.example/bot:latest',
      'docker:label:com.example.team:calendar',
      'docker:label:empty:',
      'docker:env:TEAM=calendar',
    ])
    assert.deepEqual(
      [
        result.type,
        result.binding,
        result.freshness,
        result.attributes['container-id'],
        result.attributes['image-digest'],
      ],
      ['docker', 'channel', 'live', A, IMAGE],
    )
    // The image is asked for by the digest of the container, not by a name that may mean another by now.
    assert.deepEqual(asked, [`/containers/${A}/json`, `/images/${IMAGE}/json`])
  })

  test('shows no environment that was not named', async () => {
    const { selectors } = await attestor({ socketPath: await serve(known()) }).attest(peer, now)
    assert.equal(
      selectors.some((one) => one.startsWith('docker:env')),
      false,
    )
  })

  test('shows no label that could fool a reader', async () => {
    const Labels = { ok: '1', 'line\nbreak': 'x', long: 'x'.repeat(2000) }
    const socketPath = await serve(known(A, { Config: { Image: '', Labels, Env: null } }))
    const { selectors } = await attestor({ socketPath }).attest(peer, now)
    assert.deepEqual(
      selectors.filter((one) => one.startsWith('docker:label')),
      ['docker:label:ok:1'],
    )
  })

  test('of Kubernetes shows the UID of its pod, without an engine', async () => {
    write(PEER, 'cgroup', `0::/kubepods/pod${POD}/cri-containerd-${A}.scope`)
    const { selectors, attributes } = await attestor().attest(peer, now)
    assert.deepEqual([selectors, attributes['container-id']], [[`k8s:pod-uid:${POD}`], A])
  })

  test('in a namespace of control groups of its own is known by its PID namespace', async () => {
    const mounted = `1 2 0:3 /docker/${A} /sys/fs/cgroup ro - cgroup2 cgroup rw`
    write(PEER, 'cgroup', '0::/')
    write(PEER, 'mountinfo', mounted)
    const socketPath = await serve(known())
    assert.ok((await attestor({ socketPath }).attest(peer, now)).selectors.length > 0)
    // A process of the host that mounted the control group of a container is not in it (N31).
    unlinkSync(join(root, `${PEER}/ns/pid`))
    symlinkSync('pid:[1]', join(root, `${PEER}/ns/pid`))
    await assert.rejects(attestor({ socketPath }).attest(peer, now), { code: 'attestation.container_mismatch' })
    // Nor is it when the container shares the namespace of the host.
    unlinkSync(join(root, `${FIRST}/ns/pid`))
    symlinkSync('pid:[1]', join(root, `${FIRST}/ns/pid`))
    await assert.rejects(attestor({ socketPath }).attest(peer, now), { code: 'attestation.container_mismatch' })
  })
})

describe('a process in no container', () => {
  test('has no selectors, and the engine is not asked', async () => {
    write(PEER, 'cgroup', '0::/system.slice/bot.service')
    const { selectors, warnings } = await attestor({ socketPath: '/nonexistent' }).attest(peer, now)
    assert.deepEqual([selectors, warnings], [[], []])
  })

  test('or in one of another engine has none, with a warning', async () => {
    const { selectors, warnings } = await attestor({ socketPath: await serve({}) }).attest(peer, now)
    assert.deepEqual([selectors, warnings.length], [[], 1])
  })
})

describe('nobody is attested', () => {
  const rows: readonly (readonly [string, string, () => Promise<Attestor<PeerCredentials>>])[] = [
    [
      'in a control group that a workload made and named like another container',
      'attestation.container_mismatch',
      async () => {
        write(PEER, 'cgroup', `0::/system.slice/docker-${B}.scope/${A}`)
        return attestor({ socketPath: await serve(known()) })
      },
    ],
    [
      'in a control group beside that of the container',
      'attestation.container_mismatch',
      async () => {
        write(PEER, 'cgroup', `0::/system.slice/docker-${A}.scope.d`)
        return attestor({ socketPath: await serve(known()) })
      },
    ],
    [
      'in a container that does not run',
      'attestation.container_mismatch',
      async () => attestor({ socketPath: await serve(known(A, { State: { Running: false, Pid: 0 } })) }),
    ],
    [
      'in a container whose first process has ended',
      'attestation.container_mismatch',
      async () => attestor({ socketPath: await serve(known(A, { State: { Running: true, Pid: 9999 } })) }),
    ],
    [
      'in two containers',
      'attestation.container_ambiguous',
      async () => {
        write(PEER, 'cgroup', `1:cpu:/docker/${A}\n2:memory:/docker/${B}`)
        return attestor({ socketPath: await serve(known()) })
      },
    ],
    [
      'who moved to another container while the engine was asked',
      'attestation.process_changed',
      async () => {
        const listener: RequestListener = (_request, response) => {
          write(PEER, 'cgroup', `0::/system.slice/docker-${B}.scope`)
          response.end(JSON.stringify({ RepoDigests: [] }))
        }
        return attestor({ socketPath: await serve({ ...known(), [`/images/${IMAGE}/json`]: listener }) })
      },
    ],
    [
      'who ended while the engine was asked',
      'attestation.process_gone',
      async () => {
        const listener: RequestListener = (_request, response) => {
          write(PEER, 'stat', stat(PEER, 5000, 'Z'))
          response.end(JSON.stringify({ RepoDigests: [] }))
        }
        return attestor({ socketPath: await serve({ ...known(), [`/images/${IMAGE}/json`]: listener }) })
      },
    ],
    [
      'without an engine to ask',
      'attestation.engine_unavailable',
      async () => attestor({ socketPath: '/nonexistent' }),
    ],
    ...(
      [
        ['another container', { [`/containers/${A}/json`]: container(B) }],
        ['no image digest', { [`/containers/${A}/json`]: container(A, { Image: 'bot:latest' }) }],
        [
          'no JSON',
          { [`/containers/${A}/json`]: (_: unknown, response: { end(text: string): void }) => response.end('{') },
        ],
        [
          'an error',
          {
            [`/containers/${A}/json`]: (_: unknown, response: { writeHead(n: number): { end(): void } }) =>
              response.writeHead(500).end(),
          },
        ],
        [
          'a broken connection',
          { [`/containers/${A}/json`]: (request: { socket: { destroy(): void } }) => request.socket.destroy() },
        ],
      ] as const
    ).map(
      ([what, answers]) =>
        [
          `by an engine that answers with ${what}`,
          'attestation.engine_unavailable',
          async () => attestor({ socketPath: await serve(answers as never) }),
        ] as const,
    ),
  ]
  for (const [who, code, prepare] of rows) {
    test(`${who}: ${code}`, async () => {
      const docker = await prepare()
      await assert.rejects(docker.attest(peer, now), { code })
    })
  }

  test('out of another PID namespace', async () => {
    await assert.rejects(attestor().attest({ ...peer, pid: 0 }, now), { code: 'attestation.foreign_pid_namespace' })
  })
})

describe('with the attestor of Unix processes', () => {
  const unix = () => unixAttestor({ procRoot: root, passwdFile: '/dev/null', groupFile: '/dev/null', systemd: false })

  test('the selectors of both are one result', async () => {
    const both = combinedAttestor(unix(), attestor({ socketPath: await serve(known()) }))
    const { type, selectors, attributes } = await both.attest(peer, now)
    assert.equal(type, 'unix')
    assert.ok(selectors.includes('unix:uid:1000') && selectors.includes(`docker:image_config_digest:${IMAGE}`))
    assert.equal(attributes['image-digest'], IMAGE)
  })

  test('a PID that went to another process between them is noticed (N32)', async () => {
    const listener: RequestListener = (_request, response) => response.end(JSON.stringify({ RepoDigests: [] }))
    const docker = attestor({ socketPath: await serve({ ...known(), [`/images/${IMAGE}/json`]: listener }) })
    const later: Attestor<PeerCredentials> = {
      type: 'docker',
      async attest(...args) {
        const result = await docker.attest(...args)
        write(PEER, 'stat', stat(PEER, 6000))
        return result
      },
    }
    await assert.rejects(combinedAttestor(unix(), later).attest(peer, now), { code: 'attestation.process_changed' })
  })
})
