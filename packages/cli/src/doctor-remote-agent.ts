import { existsSync, readFileSync } from 'node:fs'
import { systemClock } from 'aims/base'
import { parseBundle } from 'aims/credentials'
import { parseWorkloadSpiffeId } from 'aims/identifiers'
import { connectWorkload, identityServer, type WorkloadOptions } from 'aims/provisioning'
import type { Configuration } from 'aims-server'
import { bad, type Finding, good, privateDirectory, privateFile, socketDirectory } from './doctor-findings.ts'

/** What `aims doctor` looks at on the host of an agent whose server is on another one. Shows no evidence and uses nothing up. */
export async function examineRemoteAgent(config: Configuration): Promise<readonly Finding[]> {
  const { 'agent.dataDirectory': directory } = config
  return [
    socketDirectory('Workload API socket', config['agent.socket']),
    directory === undefined
      ? good('agent data directory', 'none: the agent is attested anew after every restart')
      : privateDirectory('agent data directory', directory),
    ...evidence(config),
    bundle(config),
    await server(config),
  ]
}

function evidence(config: Configuration): readonly Finding[] {
  const { 'agent.attestation': type, 'agent.joinTokenFile': token, 'agent.certificate': certificate } = config
  if (type === 'join-token') {
    if (process.env.AIMS_JOIN_TOKEN !== undefined) return [good('join token', 'in AIMS_JOIN_TOKEN')]
    if (token !== undefined) return [secretFile('join token', token)]
    return [
      missing(
        'join token',
        'set AIMS_JOIN_TOKEN or agent.joinTokenFile, with what aims token create --for agent prints',
      ),
    ]
  }
  if (type !== 'x509-pop') return [good('evidence', `${type}, collected when it is needed`)]
  const key = config['agent.key']
  return [
    certificate !== undefined && existsSync(certificate)
      ? good('machine certificate', certificate)
      : missing('machine certificate', 'name its PEM file in agent.certificate'),
    key === undefined ? missing('machine key', 'name its PEM file in agent.key') : secretFile('machine key', key),
  ]
}

function secretFile(check: string, path: string): Finding {
  return existsSync(path) ? privateFile(check, path) : missing(check, `put it into ${path}, or name another file`)
}

function missing(check: string, fix: string): Finding {
  return { check, ok: false, found: 'not there', fix }
}

function bundle({ 'agent.bundle': path, 'agent.serverId': serverId, trustDomain }: Configuration): Finding {
  if (serverId !== undefined) return good('bundle', 'that of the Workload API in agent.workloadApi')
  if (path === undefined)
    return missing('bundle', 'name the file of the bundle in agent.bundle: aims bundle show makes it')
  try {
    const { x509Authorities } = parseBundle(readFileSync(path), trustDomain).bundle
    if (x509Authorities.length > 0) return good('bundle', `${path}, ${x509Authorities.length} X.509 authorities`)
    return missing('X.509 authority in the bundle', 'take the bundle from the server: aims bundle show')
  } catch (error) {
    return bad('bundle', error, 'take the bundle from the server: aims bundle show')
  }
}

async function server(config: Configuration): Promise<Finding> {
  const { 'agent.server': address = '', 'agent.bundle': path, 'agent.serverId': serverId, trustDomain } = config
  const fix = 'start the server, look at agent.server, and take the bundle anew when it is an old one'
  try {
    using foreign = serverId === undefined ? undefined : await connectWorkload(foreignApi(config))
    const trust =
      foreign === undefined
        ? { bundle: path ?? '' }
        : { bundle: foreign.bundles, serverId: parseWorkloadSpiffeId(serverId ?? '') }
    const one = identityServer({ trustDomain, server: address, ...trust, clock: systemClock })
    try {
      await one.send({ method: 'GET', path: '/v1/bundle', timeout: 3000 })
      return good('server', `${address} is the server of ${trustDomain}`)
    } finally {
      one.close()
    }
  } catch (error) {
    return bad('server', error, fix)
  }
}

function foreignApi({ 'agent.workloadApi': address }: Configuration): WorkloadOptions {
  return { ...(address === undefined ? {} : { address }), readyTimeout: 3000, onWaiting: () => undefined }
}
