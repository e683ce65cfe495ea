import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { containerOf } from '../../packages/aims/src/attestation/docker/container-id.ts'
import { type Case, outcomeOf, suite } from './suite.ts'

// What the source's own test expects of each tree: container and pod, none, or a conflict.
const ID = '0123456789abcdef'.repeat(4)
const POD = '00000000-1111-2222-3333-444444444444'
const NONE = [undefined, undefined] as const
const CONFLICT = 'attestation.container_ambiguous'
type Expected = readonly [string | undefined, string | undefined] | typeof CONFLICT

const TREES: { readonly [tree: string]: Expected } = {
  'docker/v1': [ID, undefined],
  'docker/v2': [ID, undefined],
  'docker/cgroup-mount-at-slash/v1': [ID, undefined],
  'docker/cgroup-mount-at-slash/v2': [ID, undefined],
  'docker/tmpfs-empty-source': [ID, undefined],
  'docker/no-cgroup-mount': NONE,
  'docker/container-id-conflict': CONFLICT,
  'k8s/v1': [ID, POD],
  'k8s/v2': [ID, POD],
  'k8s/no-cgroup-mount': NONE,
  'k8s/container-id-conflict': CONFLICT,
  'k8s/pod-uid-conflict': CONFLICT,
  'k8s/pod-uid-override': [ID, POD],
  'other/cgroup-primary': [ID, undefined],
  'other/malformed': NONE,
  'other/mountinfo-fallback': [ID, POD],
  'other/mountinfo-impersonation': [ID, undefined],
  'does-not-exist': NONE,
}
const KIND = [
  '09bc3d7ade839efec32b6bec4ec79d099027a668ddba043083ec21d3c3b8f1e6',
  'a2830d0d-b0f0-4ff0-81b5-0ee4e299cf80',
] as const
const IN_POD = [
  '9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961',
  '2c48913c-b29f-11e7-9350-020968147796',
] as const

const CGROUPS: { readonly [file: string]: Expected } = {
  'cgroups_pid_in_pod.txt': IN_POD,
  'systemd_cgroups_pid_in_pod.txt': IN_POD,
  'cgroups_init_pid_in_pod.txt': [
    '34a2062fd26c805aa8cf814cdfe479322b791f80afb9ea4db02d50375df14b41',
    'd488cae9-b2a0-11e7-9350-020968147796',
  ],
  'cgroups_pid_in_kind_pod.txt': KIND,
  // The namespace of control groups hides the pod.
  'cgroups_pid_in_crio_pod.txt': [KIND[0], undefined],
  'systemd_crio_cgroups_pid_in_pod.txt': KIND,
  'cgroups_pid_not_in_pod.txt': NONE,
}

suite('attestation-docker', 'attestation/docker', (dir) => [
  ...Object.entries(TREES).map(([tree, expected]) => {
    const read = (name: string): string => {
      const path = join(dir, tree, 'proc/123', name)
      return existsSync(path) ? readFileSync(path, 'utf8') : ''
    }
    return judge(tree, read('cgroup'), read('mountinfo'), expected)
  }),
  ...readdirSync(join(dir, 'k8s-cgroups')).map((name) =>
    judge(name, readFileSync(join(dir, 'k8s-cgroups', name), 'utf8'), '', CGROUPS[name] ?? CONFLICT),
  ),
])

function judge(id: string, cgroup: string, mountinfo: string, expected: Expected): Case {
  return {
    id,
    expected: expected === CONFLICT ? 'reject' : 'accept',
    ...(expected === CONFLICT ? { code: CONFLICT } : {}),
    run: () =>
      outcomeOf(() => {
        const found = containerOf(cgroup, mountinfo)
        if (expected === CONFLICT) return
        if (found?.containerId !== expected[0] || found?.podUid !== expected[1]) {
          throw Object.assign(new Error('another container'), { code: 'vector.wrong' })
        }
      }),
  }
}
