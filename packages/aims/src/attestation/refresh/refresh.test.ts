import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import type { RequestListener, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import {
  type CollateralChanges,
  DCAP_NOW,
  type DcapFiles,
  makeCollateralFiles,
  makeDcapPki,
  makeQuote,
  PCK_FIELDS,
} from '../../../../../test/support/dcap-pki.ts'
import { authorities, makeReport, makeVek, SNP_TEST_ROOTS } from '../../../../../test/support/snp-pki.ts'
import { tlsHost, towards, webAuthority } from '../../../../../test/support/tls-host.ts'
import { makeCrl } from '../../../../../test/support/vendor-pki.ts'
import { outbound } from '../../base/outbound.ts'
import { type CollateralDirectory, collateralDirectory } from '../collateral-directory.ts'
import { dcapCollateralNames as names } from '../dcap/names.ts'
import { tdxVerifier } from '../dcap/tdx.ts'
import { attestEvidence } from '../evidence.ts'
import { snpVerifier } from '../sev-snp/sev-snp.ts'
import { AMD_HOST, amdTasks } from './amd.ts'
import { INTEL_HOSTS, intelTasks } from './intel.ts'
import { azureKeys, GITHUB_KEYS, GOOGLE_KEYS, hostOf, type KeySet, keySetTask, kubernetesKeys } from './key-sets.ts'
import { unverifiedDcapNeeds, unverifiedSnpNeeds } from './needs.ts'
import { type RefreshOutcome, type RefreshTask, refreshCollateral } from './refresh.ts'

const SNP_NOW = DCAP_NOW
const scratch = mkdtempSync(join(tmpdir(), 'aims-refresh-'))
after(() => rmSync(scratch, { recursive: true, force: true }))
let count = 0
const fresh = (): CollateralDirectory => collateralDirectory(join(scratch, String(count++)))

interface Run {
  readonly outcomes: readonly RefreshOutcome[]
  readonly requests: readonly string[]
  readonly waits: readonly number[]
}

// Refreshes from a host that has all names, and says what was asked and how long was waited.
async function refresh(
  tasks: readonly RefreshTask[],
  hosts: readonly string[],
  listener: RequestListener,
  directory: CollateralDirectory,
): Promise<Run> {
  await using host = await tlsHost(
    hosts.map((one) => one.replace(/:.*/, '')),
    listener,
  )
  const purpose = { hosts, authorities: webAuthority }
  const purposes = Object.fromEntries(tasks.map((task) => [task.purpose, purpose]))
  const waits: number[] = []
  const outcomes = await refreshCollateral(tasks, {
    directory,
    outbound: outbound(towards(host, purposes)),
    sleep: async (milliseconds) => {
      waits.push(milliseconds)
    },
  })
  return { outcomes, requests: [...host.requests], waits }
}

const states = ({ outcomes }: Run) => outcomes.map(({ state }) => state)
const codes = ({ outcomes }: Run) => outcomes.map((one) => (one.state === 'failed' ? one.code : one.state))
const json = (response: ServerResponse, body: string | Uint8Array, headers = {}) =>
  response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(body)

const pick = (files: DcapFiles, name: string): DcapFiles => ({ [name]: files[name] as Uint8Array })

describe('collateral of Intel', () => {
  const pki = makeDcapPki()
  const processorCrl = makeCrl({
    issuer: pki.ca,
    number: 3,
    thisUpdate: DCAP_NOW - 86_400,
    nextUpdate: DCAP_NOW + 86_400,
  })

  const plain = makeCollateralFiles('tdx', pki)
  const changedBy = (change: CollateralChanges): DcapFiles => {
    const made = makeCollateralFiles('tdx', pki, change)
    const { tcbInfo, qeIdentity, rootCrl, pckCrl } = change
    return {
      ...(tcbInfo === undefined ? {} : pick(made, names.tcbInfo('tdx', PCK_FIELDS.fmspc))),
      ...(qeIdentity === undefined ? {} : pick(made, names.qeIdentity('tdx'))),
      ...(rootCrl === undefined ? {} : pick(made, names.rootCrl)),
      ...(pckCrl === undefined ? {} : pick(made, names.pckCrl('platform'))),
    }
  }

  // Speaks as Intel's service does: issuer chains are URL-encoded in headers, lists are DER.
  const service = (
    change: CollateralChanges = {},
    odd: { readonly [path: string]: RequestListener } = {},
  ): RequestListener => {
    // Signed anew, nothing has the same bytes.
    const files: DcapFiles = { ...plain, ...(Object.keys(change).length === 0 ? {} : changedBy(change)) }
    const get = (name: string): Buffer => Buffer.from(files[name] ?? [])
    const chain = encodeURIComponent(get(names.qeIdentityChain('tdx')).toString())
    const answers: { readonly [path: string]: RequestListener } = {
      [`/tdx/certification/v4/tcb?fmspc=${PCK_FIELDS.fmspc}`]: (_, response) =>
        json(response, get(names.tcbInfo('tdx', PCK_FIELDS.fmspc)), { 'TCB-Info-Issuer-Chain': chain }),
      '/tdx/certification/v4/qe/identity?update=standard': (_, response) =>
        json(response, get(names.qeIdentity('tdx')), { 'SGX-Enclave-Identity-Issuer-Chain': chain }),
      '/sgx/certification/v4/pckcrl?ca=platform&encoding=der': (_, response) =>
        response.end(get(names.pckCrl('platform'))),
      '/sgx/certification/v4/pckcrl?ca=processor&encoding=der': (_, response) => response.end(processorCrl),
      '/IntelSGXRootCA.der': (_, response) => response.end(get(names.rootCrl)),
      ...odd,
    }
    return (request, response) => {
      const answer = answers[request.url ?? '']
      if (answer === undefined) response.writeHead(404).end()
      else answer(request, response)
    }
  }
  const tasks = intelTasks({ tees: ['tdx'], fmspcs: [PCK_FIELDS.fmspc.toUpperCase()] })
  const intel = (listener: RequestListener, directory: CollateralDirectory) =>
    refresh(tasks, INTEL_HOSTS, listener, directory)

  test('is fetched, kept under the names that the verifier asks for, and a quote verifies with it', async () => {
    const directory = fresh()
    const run = await intel(service(), directory)
    assert.deepEqual(states(run), ['new', 'new', 'new', 'new', 'new'], JSON.stringify(run.outcomes))
    assert.equal(run.requests.length, 5)
    const verifier = tdxVerifier({ collateral: directory, roots: new Set([pki.root.fingerprint]) })
    const result = await attestEvidence(
      verifier,
      makeQuote('v4', pki),
      { now: DCAP_NOW, expected: { kind: 'unchecked' } },
      verifier.readPolicy({}),
    )
    assert.equal(result.tcb?.status, 'UpToDate')
    assert.deepEqual(states(await intel(service(), directory)), new Array(5).fill('unchanged'))
  })

  test('with a higher evaluation number takes the place of the one at hand; with a lower one it does not (N17)', async () => {
    const directory = fresh()
    await intel(service({ tcbInfo: { tcbEvaluationDataNumber: 17 } }), directory)
    const newer = await intel(service({ tcbInfo: { tcbEvaluationDataNumber: 18 } }), directory)
    assert.equal(newer.outcomes[0]?.state, 'changed')
    const kept = Buffer.from(directory.get(names.tcbInfo('tdx', PCK_FIELDS.fmspc)) ?? []).toString()
    const older = await intel(service({ tcbInfo: { tcbEvaluationDataNumber: 17 } }), directory)
    assert.equal(codes(older)[0], 'attestation.collateral_rollback')
    assert.equal(Buffer.from(directory.get(names.tcbInfo('tdx', PCK_FIELDS.fmspc)) ?? []).toString(), kept)
  })

  test('that was issued earlier, or a list with a lower number, is refused', async () => {
    const directory = fresh()
    await intel(service(), directory)
    const earlier = await intel(
      service({
        qeIdentity: { issueDate: '2025-01-01T00:00:00Z' },
        rootCrl: { number: 2 },
        pckCrl: { thisUpdate: DCAP_NOW - 90_000 },
      }),
      directory,
    )
    const rollback = 'attestation.collateral_rollback'
    assert.deepEqual(codes(earlier), ['unchanged', rollback, rollback, 'unchanged', rollback])
  })

  const path = tasks[0]?.url.replace(/^https:\/\/[^/]+/, '') ?? ''
  const odd: readonly (readonly [string, RequestListener, string])[] = [
    [
      'no chain in the header',
      (_, response) => json(response, '{"tcbInfo":{"fmspc":"00906ed50000"}}'),
      'attestation.collateral_',
    ],
    [
      'a chain that is no PEM',
      (_, response) => json(response, `{"tcbInfo":{"fmspc":"${PCK_FIELDS.fmspc}"}}`, { 'TCB-Info-Issuer-Chain': 'x%' }),
      'attestation.collateral_malformed',
    ],
    [
      'another platform',
      (_, response) => json(response, '{"tcbInfo":{"fmspc":"000000000000"}}'),
      'attestation.collateral_invalid',
    ],
    ['no JSON', (_, response) => json(response, '{'), 'attestation.collateral_malformed'],
    ['JSON without the signed member', (_, response) => json(response, '{}'), 'attestation.collateral_malformed'],
    [
      'a page',
      (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<p>'),
      'outbound.wrong_type',
    ],
    ['nothing', (_, response) => response.writeHead(404).end(), 'attestation.collateral_missing'],
    [
      'a redirect',
      (_, response) => response.writeHead(302, { location: 'https://127.0.0.1/' }).end(),
      'outbound.redirected',
    ],
  ]
  for (const [what, listener, code] of odd) {
    test(`an answer with ${what} leaves the file at hand, and the others go on`, async () => {
      const directory = fresh()
      await intel(service(), directory)
      const kept = directory.get(names.tcbInfo('tdx', PCK_FIELDS.fmspc))
      const run = await intel(service({}, { [path]: listener }), directory)
      assert.match(codes(run)[0] ?? '', new RegExp(`^${code}`))
      assert.deepEqual(codes(run).slice(1), new Array(4).fill('unchanged'))
      assert.deepEqual(directory.get(names.tcbInfo('tdx', PCK_FIELDS.fmspc)), kept)
    })
  }

  test('comes from a caching service of your own, which answers in hex', async () => {
    const own = intelTasks({
      tees: ['tdx'],
      fmspcs: [],
      service: 'https://pccs.example:8081',
      rootCrl: 'https://pccs.example:8081/sgx/certification/v4/rootcacrl',
    })
    const directory = fresh()
    const list = makeCrl({ issuer: pki.root, number: 3 })
    const listener = service(
      {},
      { '/sgx/certification/v4/rootcacrl': (_, response) => response.end(list.toString('hex')) },
    )
    const run = await refresh(own, ['pccs.example:8081'], listener, directory)
    assert.deepEqual(states(run), ['new', 'new', 'new', 'new'], JSON.stringify(run.outcomes))
    assert.deepEqual(Buffer.from(directory.get(names.rootCrl) ?? []), list)
  })

  test('is known from a quote', () => {
    assert.deepEqual(unverifiedDcapNeeds(makeQuote('v4', pki)), { tee: 'tdx', fmspc: PCK_FIELDS.fmspc })
    assert.deepEqual(unverifiedDcapNeeds(makeQuote('v3', pki)), { tee: 'sgx', fmspc: PCK_FIELDS.fmspc })
    assert.throws(() => unverifiedDcapNeeds(Buffer.from('x')), { code: 'attestation.malformed' })
  })

  test('is not asked for platforms that are none', () => {
    assert.throws(() => intelTasks({ tees: ['sgx'], fmspcs: ['00806f0500'] }), TypeError)
  })
})

describe('collateral of AMD', () => {
  const product = 'Milan'
  const vek = makeVek()
  const report = makeReport(vek)
  const { ark, ask, asvk } = authorities[product]
  const chip = unverifiedSnpNeeds(report) ?? assert.fail('the report names a chip')
  const crl = makeCrl({
    issuer: ark,
    scheme: 'rsa-pss-sha384',
    number: 4,
    thisUpdate: SNP_NOW - 60,
    nextUpdate: SNP_NOW + 86_400,
  })
  const answers: { readonly [path: string]: string | Uint8Array } = {
    '/vcek/v1/Milan/cert_chain': ask.pem + ark.pem,
    '/vlek/v1/Milan/cert_chain': asvk.pem + ark.pem,
    '/vcek/v1/Milan/crl': crl,
    [`/vcek/v1/Milan/${'c1'.repeat(64)}?blSPL=04&teeSPL=01&snpSPL=24&ucodeSPL=219`]: vek.der,
  }
  const kds =
    (odd: typeof answers = {}): RequestListener =>
    (request, response) => {
      const answer = { ...answers, ...odd }[request.url ?? '']
      if (answer === undefined) response.writeHead(404).end()
      else response.end(answer)
    }
  const tasks = amdTasks({ products: [product], chips: [chip] })

  test('is fetched for the chip of a report, which verifies with it and its revocation list', async () => {
    const directory = fresh()
    const run = await refresh(tasks, [AMD_HOST], kds(), directory)
    assert.deepEqual(states(run), ['new', 'new', 'new', 'new'], JSON.stringify(run.outcomes))
    const verifier = snpVerifier({ collateral: directory, roots: SNP_TEST_ROOTS })
    const context = { now: SNP_NOW, expected: { kind: 'unchecked' } } as const
    const result = await attestEvidence(verifier, report, context, verifier.readPolicy({}))
    assert.equal(result.hardwareRoot, ark.fingerprint)
    const again = await refresh(tasks, [AMD_HOST], kds(), directory)
    assert.deepEqual(states(again), ['kept', 'kept', 'unchanged', 'kept'])
    assert.deepEqual(again.requests, ['GET kdsintf.amd.com/vcek/v1/Milan/crl'])
  })

  test('that is no certificate, or an older list, does not take a place', async () => {
    const directory = fresh()
    await refresh(tasks.slice(2, 3), [AMD_HOST], kds(), directory)
    const older = makeCrl({ issuer: ark, scheme: 'rsa-pss-sha384', number: 3, thisUpdate: SNP_NOW - 60 })
    const odd = { '/vcek/v1/Milan/cert_chain': '<p>', '/vcek/v1/Milan/crl': older }
    const run = await refresh(tasks.slice(0, 3), [AMD_HOST], kds(odd), directory)
    assert.deepEqual(codes(run), ['pem.malformed', 'new', 'attestation.collateral_rollback'])
  })

  test('of Turin is asked for by a short id and with the level of the FMC', () => {
    const turin = makeVek({ product: 'Turin' })
    const needs = unverifiedSnpNeeds(makeReport(turin, { product: 'Turin' }))
    const [, , , task] = amdTasks({ products: ['Turin'], chips: needs === undefined ? [] : [needs] })
    assert.equal(
      task?.url,
      'https://kdsintf.amd.com/vcek/v1/Turin/1e550a8ee5cf9f4d?fmcSPL=01&blSPL=03&teeSPL=02&snpSPL=05&ucodeSPL=70',
    )
  })

  test('is not asked for a masked chip, nor for a key of a cloud', () => {
    const vlek = makeVek({ kind: 'VLEK' })
    assert.equal(unverifiedSnpNeeds(makeReport(vlek, { kind: 'VLEK' })), undefined)
    assert.throws(() => unverifiedSnpNeeds(makeReport(vek, { version: 2 })), { code: 'attestation.unsupported' })
    assert.equal(unverifiedSnpNeeds(makeReport(vek, { version: 2 }), 'Milan')?.product, 'Milan')
    assert.throws(() => amdTasks({ products: [], chips: [{ ...chip, chipId: '../x' }] }), TypeError)
  })
})

describe('keys of issuers of tokens', () => {
  const tenant = '11111111-2222-3333-4444-555555555555'
  const sets: readonly KeySet[] = [
    GOOGLE_KEYS,
    GITHUB_KEYS,
    azureKeys(tenant),
    kubernetesKeys('prod', 'https://cluster.example:6443/openid/v1/jwks', 'reader-token'),
  ]
  const keys = '{"keys":[{"kty":"RSA"}]}'

  test('are fetched from Google, GitHub, a tenant of Azure and a cluster', async () => {
    const seen: (string | undefined)[] = []
    const directory = fresh()
    const listener: RequestListener = (request, response) => {
      seen.push(request.headers.authorization)
      json(response, keys)
    }
    const run = await refresh(sets.map(keySetTask), sets.map(hostOf), listener, directory)
    assert.deepEqual(states(run), ['new', 'new', 'new', 'new'], JSON.stringify(run.outcomes))
    assert.deepEqual(directory.list(), [
      `azure/${tenant}/jwks.json`,
      'gcp/jwks.json',
      'github/jwks.json',
      'kubernetes/prod/jwks.json',
    ])
    assert.deepEqual(run.requests, [
      'GET www.googleapis.com/oauth2/v3/certs',
      'GET token.actions.githubusercontent.com/.well-known/jwks',
      `GET login.microsoftonline.com/${tenant}/discovery/keys`,
      'GET cluster.example:6443/openid/v1/jwks',
    ])
    // The token of one cluster goes nowhere else.
    assert.deepEqual(seen, [undefined, undefined, undefined, 'Bearer reader-token'])
  })

  for (const body of ['{}', '{"keys":[]}', '{"keys":{}}', '[]', 'x']) {
    test(`the answer ${body} does not take the place of keys at hand`, async () => {
      const directory = fresh()
      directory.put(GOOGLE_KEYS.name, Buffer.from(keys))
      const run = await refresh(
        [keySetTask(GOOGLE_KEYS)],
        [hostOf(GOOGLE_KEYS)],
        (_, response) => json(response, body),
        directory,
      )
      assert.deepEqual(codes(run), ['attestation.collateral_malformed'])
      assert.equal(Buffer.from(directory.get(GOOGLE_KEYS.name) ?? []).toString(), keys)
    })
  }

  test('names of tenants and clusters are checked before they become paths', () => {
    for (const name of ['../x', 'A', '', 'a/b']) {
      assert.throws(() => kubernetesKeys(name, 'https://cluster.example/'), TypeError)
      assert.throws(() => azureKeys(name), TypeError)
    }
  })
})

describe('a host that counts', () => {
  const task = keySetTask(GOOGLE_KEYS)
  const hosts = [hostOf(GOOGLE_KEYS)]
  const limited = (times: number, headers: { readonly [name: string]: string }): RequestListener => {
    let asked = 0
    return (_, response) => {
      asked += 1
      if (asked <= times) response.writeHead(429, headers).end()
      else json(response, '{"keys":[{}]}')
    }
  }

  test('is given the time it asks for', async () => {
    const run = await refresh([task], hosts, limited(1, { 'retry-after': '7' }), fresh())
    assert.deepEqual([states(run), run.waits], [['new'], [7000]])
  })

  test('is given time of our own where it asks for none, and is left alone after the second time', async () => {
    const run = await refresh([task], hosts, limited(9, {}), fresh())
    assert.deepEqual([codes(run), run.waits, run.requests.length], [['outbound.rate_limited'], [5000, 20_000], 3])
  })

  test('is not waited for longer than a minute', async () => {
    const run = await refresh([task], hosts, limited(9, { 'retry-after': '3600' }), fresh())
    assert.deepEqual([codes(run), run.waits, run.requests.length], [['outbound.rate_limited'], [], 1])
  })

  test('is not asked again for what never changes, and not without a pause', async () => {
    const directory = fresh()
    const fixed: RefreshTask = { ...task, isFixed: true }
    const first = await refresh([fixed, { ...task, name: 'other' }], hosts, limited(0, {}), directory)
    assert.deepEqual([states(first), first.waits], [['new', 'unchanged'], [1000]])
    const second = await refresh([fixed], hosts, limited(0, {}), directory)
    assert.deepEqual([states(second), second.requests], [['kept'], []])
  })
})
