import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { clientTlsOptions } from 'aims/authentication'
import { isExactly, parseSpiffeId, parseWorkloadSpiffeId } from 'aims/identifiers'
import {
  BROKER_API,
  connectWorkload,
  FrameReader,
  frameMessage,
  pidReference,
  REFERENCE_TYPES,
} from 'aims/provisioning'
import { startTrustDomain } from '../support/trust-domain.ts'

const AGENT = 'spiffe://example.com/mesh/node-agent'
const BROKER = 'spiffe://example.com/mesh/broker'
const WORKLOAD = 'spiffe://example.com/service/sleeper'

// [provisioning.broker.01] [provisioning.broker.02]
test('an agent that is told of brokers serves them as soon as it has its own identity', {
  timeout: 120_000,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'aims-broker-'))
  const path = join(directory, 'broker.sock')
  const domain = await startTrustDomain({
    'agent.broker.address': `unix://${path}`,
    'agent.broker.spiffeId': AGENT,
    'agent.broker.callers': [BROKER],
  })
  const workload = spawn('sleep', ['300'], { stdio: 'ignore' })
  try {
    await once(workload, 'spawn')
    assert.equal(existsSync(path), false)
    for (const spiffeId of [AGENT, BROKER])
      await domain.register({ spiffeId, selectors: [`unix:path:${process.execPath}`] })
    await domain.register({ spiffeId: WORKLOAD, selectors: [`unix:path:${readlinkSync(`/proc/${workload.pid}/exe`)}`] })
    using broker = await connectWorkload({ address: domain.address, spiffeId: parseWorkloadSpiffeId(BROKER) })
    while (!existsSync(path)) await delay(20)

    const reference = { typeUrl: REFERENCE_TYPES.pid, value: pidReference.encode(workload.pid ?? 0) }
    const { path: method, request, response } = BROKER_API.subscribeToX509Svid
    const ask = async (): Promise<string> => {
      const socket = connectTls({
        ...clientTlsOptions(broker.x509, { bundles: broker.bundles, peer: isExactly(parseSpiffeId(AGENT)) }),
        socket: connectSocket(path),
        ALPNProtocols: ['h2'],
      })
      await once(socket, 'secureConnect')
      const session = connectHttp2('https://localhost', { createConnection: () => socket })
      try {
        const call = session.request({
          ':method': 'POST',
          ':path': method,
          'content-type': 'application/grpc',
          'broker.spiffe.io': 'true',
        })
        call.end(frameMessage(request.encode({ reference })))
        const reader = new FrameReader(1024 * 1024)
        for await (const chunk of call) {
          const [message] = reader.push(chunk)
          if (message !== undefined)
            return response
              .decode(message)
              .svids.map(({ spiffeId }) => spiffeId)
              .join()
        }
        return 'refused'
      } finally {
        session.destroy()
      }
    }
    // Until the agent has its first revocation list nobody is let in.
    let answer = await ask().catch(() => 'refused')
    for (let attempt = 0; answer === 'refused' && attempt < 300; attempt += 1) {
      await delay(100)
      answer = await ask().catch(() => 'refused')
    }
    assert.equal(answer, WORKLOAD)
  } finally {
    workload.kill('SIGKILL')
    await domain.close()
    rmSync(directory, { recursive: true })
  }
})
