import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { workloadAttestor } from './workload-attestor.ts'

const ID = 'a'.repeat(64)
const IMAGE = `sha256:${'1'.repeat(64)}`
const root = mkdtempSync(join(tmpdir(), 'aims-workload-'))
const socket = join(root, 'docker.sock')
const peer = { pid: 7, uid: 1000, gid: 1001 }
const options = { procRoot: root, passwdFile: '/dev/null', groupFile: '/dev/null', systemd: false }
let engine: Server

before(async () => {
  mkdirSync(join(root, '7'))
  const files = {
    stat: `7 (bot) S 1 ${Array.from({ length: 17 }, () => '0').join(' ')} 5000 0 0\n`,
    status: 'Uid:\t0\t1000\t0\t0\nGid:\t0\t1001\t0\t0\nGroups:\t\n',
    cgroup: `0::/docker/${ID}\n`,
    mountinfo: '',
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, '7', name), text)
  symlinkSync('/usr/bin/bot', join(root, '7/exe'))
  engine = createServer((request, response) => {
    const Config = { Image: 'bot', Labels: {}, Env: ['TEAM=calendar'] }
    const answer = request.url?.startsWith('/containers/')
      ? { Id: ID, Image: IMAGE, State: { Running: true, Pid: 7 }, Config }
      : { RepoDigests: [] }
    response.end(JSON.stringify(answer))
  })
  await new Promise<void>((resolve) => engine.listen(socket, resolve))
})
after(async () => {
  engine.closeAllConnections()
  await new Promise((resolve) => engine.close(resolve))
  rmSync(root, { recursive: true })
})

test('workloads are processes, and containers only where an engine is configured', async () => {
  const plain = await workloadAttestor({}, options).attest(peer, { now: 1 })
  assert.equal(
    plain.selectors.some((one) => one.startsWith('docker:')),
    false,
  )
  const config = { 'agent.docker.socket': socket, 'agent.docker.environment': ['TEAM'] }
  const both = await workloadAttestor(config, options).attest(peer, { now: 1 })
  assert.deepEqual(both.selectors.slice(plain.selectors.length), [
    `docker:image_config_digest:${IMAGE}`,
    'docker:image_id:bot',
    'docker:env:TEAM=calendar',
  ])
  assert.deepEqual(both.selectors.slice(0, plain.selectors.length), plain.selectors)
})
