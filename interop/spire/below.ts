import assert from 'node:assert/strict'
import { join } from 'node:path'
import { apiClient } from 'aims/base'
import {
  bundleSource,
  emptyBundle,
  parseBundle,
  type TrustBundle,
  verifyJwtSvid,
  verifyX509Svid,
} from 'aims/credentials'
import { parseTrustDomain } from 'aims/identifiers'
import { connectWorkload, WorkloadApiClient } from 'aims/provisioning'
import { startAgent } from 'aims-agent'
import { adminClient, loadConfig, startServer } from 'aims-server'
import { eventually, ME, type Spire } from './programs.ts'

const BELOW = 'spiffe://spire.example/servers/aims'
const BOT = 'spiffe://spire.example/job/bot'
const audience = 'https://api.example.com'

/** SPIRE certifies the CA of our server and publishes its keys: what either issues is believed by both. */
export async function belowSpire({ root, server: above, workloadApi, ask, askAgent }: Spire): Promise<void> {
  const entry = ['-parentID', 'spiffe://spire.example/host', '-spiffeID', BELOW, '-selector', ME]
  const [, id = ''] = /Entry ID\s*: (\S+)/.exec(ask('entry', 'create', ...entry, '-downstream')) ?? []
  const trustDomain = parseTrustDomain('spire.example')
  const config = await loadConfig({
    env: {},
    overrides: {
      trustDomain,
      dataDirectory: join(root, 'data'),
      'agent.socket': join(root, 'workload.sock'),
      'listen.port': 0,
      'keys.upstream': { spire: { server: above, workload: workloadApi } },
      'keys.lifetime': '8m',
      'keys.publishAhead': '5s',
      'bundle.refreshHint': 1,
      'agents.ttl': '1m',
      ...Object.fromEntries(
        ['x509', 'jwt', 'wit'].flatMap((kind) => [
          [`ttl.${kind}.default`, '1m'],
          [`ttl.${kind}.max`, '2m'],
        ]),
      ),
    },
  })
  // The agent of SPIRE learns of the entry within some seconds.
  const server = await eventually('the first start', () => startServer(config))
  const agent = await startAgent(config, { log: () => undefined })
  const api = apiClient({ socketPath: config['api.socket'] })
  const admin = adminClient(api)
  await admin.createEntry({ spiffeId: BOT, selectors: [ME], owner: 'team', purpose: 'test' })
  const workload = await connectWorkload({ address: agent.address })
  const bundle = (): TrustBundle => parseBundle(server.bundle(), trustDomain).bundle
  const now = (): number => Date.now() / 1000
  const spireClient = new WorkloadApiClient({ address: workloadApi })

  // The agent of SPIRE learns of new roots and keys within some seconds.
  const verifyUnderSpire = async (): Promise<void> => {
    const verified = await eventually('a root that the agent of SPIRE knows', async () => {
      const x509Authorities = (await spireClient.fetchX509Bundles()).get(trustDomain) ?? []
      const bundles = bundleSource({ ...emptyBundle(trustDomain), x509Authorities })
      return verifyX509Svid(workload.x509.x509Svid().certificates, { bundles, now: now() })
    })
    assert.equal(verified.subject, BOT)
    const { token } = await workload.jwt.jwtSvid(audience)
    const validated = await eventually('a key that the agent of SPIRE knows', () =>
      askAgent('api', 'validate', 'jwt', '-audience', audience, '-svid', token),
    )
    assert.match(validated, new RegExp(BOT))
  }
  await verifyUnderSpire()
  console.log(`${BOT}: X.509-SVID and JWT-SVID from our server, believed by SPIRE`)

  const fetched = JSON.parse(askAgent('api', 'fetch', 'jwt', '-audience', audience, '-output', 'json'))
  const [theirs] = fetched[0].svids
  const expected = { bundles: bundleSource(bundle()), now: now(), audience }
  assert.equal(verifyJwtSvid(theirs.svid, expected).subject, BELOW)
  console.log(`${BELOW}: JWT-SVID from SPIRE, believed below`)

  const authority = (...args: readonly string[]) =>
    JSON.parse(ask('localauthority', 'x509', ...args, '-output', 'json'))
  const old = authority('show').active.authority_id
  const before = workload.x509.x509Svid()
  authority('activate', '-authorityID', authority('prepare').prepared_authority.authority_id)
  authority('taint', '-authorityID', old)
  await eventually('an SVID below the new root', () => (workload.x509.x509Svid() === before ? undefined : true))
  await eventually('the old authority gone', () => {
    authority('revoke', '-authorityID', old)
    return true
  })
  await verifyUnderSpire()
  console.log('SPIRE tainted and revoked its root: the CA below was replaced by itself, and so was the SVID')

  const keyOf = async (state: string) =>
    (await admin.listKeys()).find((key) => key.purpose === 'jwt' && key.state === state)
  const first = await keyOf('active')
  assert.ok(first !== undefined)
  // Our own SVID may be below the root that is gone, until the agent of SPIRE has replaced it.
  await eventually('SPIRE takes a key', () => admin.stepAuthority({ step: 'prepare', purpose: 'jwt' }))
  await admin.stepAuthority({ step: 'activate', purpose: 'jwt', force: true })
  await admin.stepAuthority({ step: 'taint', purpose: 'jwt', id: first.id })
  await admin.stepAuthority({ step: 'revoke', purpose: 'jwt', id: first.id })
  await new Promise((resolve) => setTimeout(resolve, 3000))
  assert.ok(!bundle().jwtAuthorities.has(first.thumbprint))
  assert.match(ask('bundle', 'show', '-format', 'spiffe'), new RegExp(first.thumbprint))
  console.log('a key that was revoked below is believed there no more; SPIRE keeps it to its end')

  ask('entry', 'update', '-entryID', id, ...entry)
  const refused = await eventually('a refusal', () =>
    admin.stepAuthority({ step: 'prepare', purpose: 'x509-ca' }).then(
      ({ id: made }) => admin.stepAuthority({ step: 'revoke', purpose: 'x509-ca', id: made }).then(() => undefined),
      (error: { readonly code: string }) => error.code,
    ),
  )
  assert.equal(refused, 'operation.upstream_refused')
  console.log('without the flag downstream SPIRE refuses')

  for (const one of [spireClient, workload, api]) one.close()
  await agent.close()
  await server.close()
}
