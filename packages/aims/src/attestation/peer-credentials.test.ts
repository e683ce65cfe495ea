import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { AimsError } from '../base/errors.ts'
import {
  loadPeerCredentialProvider,
  type PeerCredentialProvider,
  type PeerCredentials,
  releasePeerCredentials,
} from './peer-credentials.ts'
import { unixAttestor } from './unix.ts'

const now = { now: 1_800_000_000 }
const skip = process.platform === 'linux' ? false : 'kernel peer credentials are read on Linux only'
const needsRoot = skip || (process.geteuid?.() === 0 ? false : 'needs root')
const code =
  (expected: string): ((error: unknown) => boolean) =>
  (error) =>
    AimsError.is(error) && error.code === expected

const CLIENT = `const s = require('node:net').connect(process.argv[1]); s.on('error', () => process.exit()); s.resume()`

let dir: string
let provider: PeerCredentialProvider
let server: Server

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'aims-peer-'))
  chmodSync(dir, 0o755)
  provider = await loadPeerCredentialProvider()
  server = createServer().listen(join(dir, 's'))
  await once(server, 'listening')
  chmodSync(join(dir, 's'), 0o777)
})

after(() => {
  server.close()
  rmSync(dir, { recursive: true })
})

async function accept(identity: { uid?: number; gid?: number } = {}): Promise<[ChildProcess, Socket]> {
  const accepted = once(server, 'connection')
  const child = spawn(process.execPath, ['-e', CLIENT, join(dir, 's')], { stdio: 'ignore', cwd: '/', ...identity })
  const [socket] = await accepted
  assert.ok(socket instanceof Socket)
  return [child, socket.on('error', () => undefined)]
}

async function end(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

test('the kernel tells the process that connected', { skip }, async () => {
  const [child, socket] = await accept()
  const peer = provider.read(socket)
  assert.deepEqual([peer.pid, peer.uid, peer.gid], [child.pid, process.geteuid?.(), process.getegid?.()])
  const result = await unixAttestor().attest(peer, now)
  assert.ok(result.selectors.includes(`unix:uid:${peer.uid}`))
  assert.equal(result.attributes.pid, String(child.pid))
  await end(child)
  await assert.rejects(unixAttestor().attest(peer, now), code('attestation.process_gone'))
  releasePeerCredentials(peer)
  socket.destroy()
})

test('another user is told apart', { skip: needsRoot }, async () => {
  const [child, socket] = await accept({ uid: 65534, gid: 65534 })
  const peer = provider.read(socket)
  assert.deepEqual([peer.uid, peer.gid], [65534, 65534])
  const { selectors } = await unixAttestor().attest(peer, now)
  assert.ok(selectors.includes('unix:uid:65534'))
  assert.equal(selectors.includes('unix:uid:0'), false)
  releasePeerCredentials(peer)
  socket.destroy()
  await end(child)
})

const OWN_NAMESPACE = 'AIMS_TEST_OWN_PID_NAMESPACE'
const REUSED = 'a process that gets the PID of the one that connected is not taken for it'

test(REUSED, { skip: needsRoot }, async () => {
  // In a PID namespace of our own the next number is ours to choose, and nobody else's processes take it.
  if (process.env[OWN_NAMESPACE] === undefined) {
    const { status, stdout } = spawnSync(
      'unshare',
      [
        '--pid',
        '--fork',
        '--mount-proc',
        process.execPath,
        ...process.execArgv.filter((flag) => flag.startsWith('--cond')),
        '--test',
        '--test-name-pattern',
        REUSED,
        fileURLToPath(import.meta.url),
      ],
      { env: { PATH: process.env.PATH, [OWN_NAMESPACE]: '1' }, encoding: 'utf8' },
    )
    assert.equal(status, 0, stdout)
    return
  }
  const [child, socket] = await accept()
  const peer = provider.read(socket)
  const unpinned: PeerCredentials = { pid: peer.pid, uid: peer.uid, gid: peer.gid }
  const unix = unixAttestor()
  await unix.attest(unpinned, now)
  await end(child)
  writeFileSync('/proc/sys/kernel/ns_last_pid', String(peer.pid - 1))
  const other = spawn('sleep', ['30'], { stdio: 'ignore' })
  assert.equal(other.pid, peer.pid)
  await assert.rejects(unix.attest(unpinned, now), code('attestation.process_changed'))
  // With a pidfd the very first attestation notices, too.
  if (peer.pidfd !== undefined) await assert.rejects(unix.attest(peer, now), code('attestation.process_gone'))
  releasePeerCredentials(peer)
  socket.destroy()
  await end(other)
})

test('a path that another mount namespace shows is not believed', { skip: needsRoot }, async () => {
  const claimed = join(dir, 'trusted-bot')
  writeFileSync(claimed, 'the program an entry names')
  const accepted = once(server, 'connection')
  const child = spawn(
    'unshare',
    [
      '--mount',
      'sh',
      '-c',
      'mount --bind "$0" "$1" && exec "$1" -e "$2" "$3"',
      process.execPath,
      claimed,
      CLIENT,
      join(dir, 's'),
    ],
    { stdio: 'ignore', cwd: '/' },
  )
  const [socket] = await accepted
  const peer = provider.read(socket)
  assert.equal(readlinkSync(`/proc/${peer.pid}/exe`), claimed)
  const { selectors } = await unixAttestor().attest(peer, now)
  assert.equal(
    selectors.some((selector) => selector.startsWith('unix:path:')),
    false,
  )
  assert.ok(selectors.some((selector) => selector.startsWith('unix:sha256:')))
  releasePeerCredentials(peer)
  socket.destroy()
  await end(child)
})

test('a socket without a peer of this machine is refused', { skip }, async () => {
  assert.throws(() => provider.read(new Socket()), code('attestation.peer_unreadable'))
  const tcp = createServer().listen(0, '127.0.0.1')
  await once(tcp, 'listening')
  const address = tcp.address()
  assert.ok(address !== null && typeof address === 'object')
  const accepted = once(tcp, 'connection')
  const client = new Socket().connect(address.port, '127.0.0.1')
  const [socket] = await accepted
  // The kernel answers for TCP sockets with PID 0 or an error. Neither is attested.
  await assert.rejects(async () => unixAttestor().attest(provider.read(socket), now), /AimsError/)
  client.destroy()
  socket.destroy()
  tcp.close()
})
