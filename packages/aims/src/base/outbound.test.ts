import assert from 'node:assert/strict'
import type { RequestListener } from 'node:http'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { PUBLIC_ADDRESS, tlsHost, towards, webAuthority } from '../../../../test/support/tls-host.ts'
import { makeRoot, newKey } from '../../../../test/support/vendor-pki.ts'
import { AimsError } from './errors.ts'
import { type OutboundOptions, type OutboundPurpose, type OutboundRequest, outbound } from './outbound.ts'
import { isMetadataAddress, isPublicAddress, networks } from './outbound-addresses.ts'
import { parseOutboundUrl } from './outbound-url.ts'
import { encodePem } from './pem.ts'

const otherAuthority = encodePem('CERTIFICATE', makeRoot('Other Root', { key: newKey('P-256') }).der)
const purpose: OutboundPurpose = { hosts: ['good.example'], authorities: webAuthority, maxBody: 100, timeout: 30_000 }

const answer: (body?: string, headers?: { [name: string]: string }, status?: number) => RequestListener =
  (body = '{}', headers = { 'content-type': 'application/json' }, status = 200) =>
  (_request, response) => {
    response.writeHead(status, headers)
    response.end(body)
  }

async function fetchFrom(
  listener: RequestListener,
  change: {
    readonly purpose?: Partial<OutboundPurpose>
    readonly request?: OutboundRequest
    readonly names?: readonly string[]
    readonly options?: Partial<OutboundOptions<'test'>>
    readonly url?: string
  } = {},
) {
  await using host = await tlsHost(change.names ?? ['good.example'], listener)
  const options = towards(host, { test: { ...purpose, ...change.purpose } })
  const fetcher = outbound({ ...options, ...change.options })
  const outcome = await fetcher
    .fetch('test', change.url ?? 'https://good.example/a?b=c', change.request)
    .catch((error: unknown) => {
      if (!AimsError.is(error)) throw error
      return error
    })
  return { outcome, requests: [...host.requests], connected: options.connected }
}

async function refuses(
  code: string,
  ...args: Parameters<typeof fetchFrom>
): Promise<Awaited<ReturnType<typeof fetchFrom>>> {
  const { outcome, ...rest } = await fetchFrom(...args)
  assert.ok(AimsError.is(outcome), `expected ${code}, got an answer`)
  assert.equal(outcome.code, code, String(outcome.cause))
  return { outcome, ...rest }
}

describe('the outbound fetcher', () => {
  test('fetches from the address that was looked at, under the name of the host', async () => {
    const { outcome, requests, connected } = await fetchFrom(answer('{"a":1}'), {
      request: { types: ['application/json'] },
    })
    assert.ok(!AimsError.is(outcome), String(outcome))
    assert.equal(outcome.body.toString(), '{"a":1}')
    assert.equal(outcome.headers.get('content-type'), 'application/json')
    assert.deepEqual(requests, ['GET good.example/a?b=c'])
    assert.deepEqual(connected, [`${PUBLIC_ADDRESS}:443`])
  })

  test('a status that was asked for is an answer, another is not', async () => {
    const refusal = answer('{}', { 'content-type': 'text/plain' }, 403)
    const { outcome } = await fetchFrom(refusal, { request: { types: ['application/json'], statuses: [403] } })
    assert.ok(!AimsError.is(outcome), String(outcome))
    assert.equal(outcome.status, 403)
    await refuses('outbound.refused_by_host', refusal, { request: { statuses: [400] } })
  })

  test('a name that leads elsewhere the next time is asked once (rebinding)', async () => {
    let asked = 0
    const resolve = async () => {
      asked += 1
      return [asked === 1 ? PUBLIC_ADDRESS : '127.0.0.1']
    }
    const { outcome, connected } = await fetchFrom(answer(), { options: { resolve } })
    assert.ok(!AimsError.is(outcome))
    assert.equal(asked, 1)
    assert.deepEqual(connected, [`${PUBLIC_ADDRESS}:443`])
  })

  for (const [what, addresses] of [
    ['one public and one private address', [PUBLIC_ADDRESS, '10.0.0.1']],
    ['a metadata address', ['169.254.169.254']],
    ['IPv4 written as IPv6', ['::ffff:93.184.215.14']],
    ['300 addresses', Array.from({ length: 300 }, () => PUBLIC_ADDRESS)],
    ['something that is no address', ['good.example']],
  ] as const) {
    test(`refuses a name with ${what} without connecting`, async () => {
      const { connected } = await refuses('outbound.address_refused', answer(), {
        options: { resolve: async () => addresses },
      })
      assert.deepEqual(connected, [])
    })
  }

  test('reaches a network only where it is configured, and a metadata service never', async () => {
    const resolve = async () => ['10.1.2.3']
    const { outcome } = await fetchFrom(answer(), { options: { resolve }, purpose: { networks: ['10.0.0.0/8'] } })
    assert.ok(!AimsError.is(outcome))
    await refuses('outbound.address_refused', answer(), {
      options: { resolve },
      purpose: { networks: ['10.2.0.0/16'] },
    })
    await refuses('outbound.address_refused', answer(), {
      options: { resolve: async () => ['169.254.169.254'] },
      purpose: { networks: ['0.0.0.0/0'] },
    })
  })

  test('refuses a name that has no address', async () => {
    await refuses('outbound.unresolvable', answer(), { options: { resolve: async () => [] } })
    await refuses('outbound.unresolvable', answer(), {
      options: { resolve: () => Promise.reject(new Error('ENOTFOUND')) },
    })
  })

  for (const url of ['https://other.example/', 'https://good.example:8443/', 'https://sub.good.example/']) {
    test(`refuses ${url}, which is not allowed for the purpose`, async () => {
      const { connected } = await refuses('outbound.host_refused', answer(), { url })
      assert.deepEqual(connected, [])
    })
  }

  test('allows another port where it is named', async () => {
    const { outcome, connected, requests } = await fetchFrom(answer(), {
      url: 'https://good.example:8443/',
      purpose: { hosts: ['good.example:8443'] },
    })
    assert.ok(!AimsError.is(outcome))
    assert.deepEqual([connected, requests], [[`${PUBLIC_ADDRESS}:8443`], ['GET good.example:8443/']])
  })

  test('public means names of the public DNS, on port 443', async () => {
    const hosts = 'public' as const
    const { outcome } = await fetchFrom(answer(), { purpose: { hosts } })
    assert.ok(!AimsError.is(outcome))
    for (const url of [
      'https://good.example:8443/',
      'https://printer.local/',
      'https://intranet/',
      'https://93.184.215.14/',
    ]) {
      await refuses('outbound.host_refused', answer(), { purpose: { hosts }, url })
    }
  })

  for (const location of ['https://127.0.0.1/', 'http://good.example/', 'https://good.example/b']) {
    test(`follows no redirect, not even to ${location}`, async () => {
      const { requests } = await refuses('outbound.redirected', answer('', { location }, 302))
      assert.equal(requests.length, 1)
    })
  }

  const redirecting: (location: string) => RequestListener = (location) => (request, response) => {
    if (request.url === '/b') response.end('{}')
    else response.writeHead(307, { location }).end()
  }

  test('follows a redirect where the purpose says so, for a plain GET', async () => {
    const allowed = { purpose: { redirects: 1 } }
    const { outcome, requests } = await fetchFrom(redirecting('https://other.example/b'), {
      ...allowed,
      names: ['good.example', 'other.example'],
    })
    assert.ok(!AimsError.is(outcome), String(outcome))
    assert.deepEqual(requests, ['GET good.example/a?b=c', 'GET other.example/b'])
    // The certificate is looked at again.
    await refuses('outbound.tls_failed', redirecting('https://other.example/b'), allowed)
    // Fields are for the host that was named.
    const request = { headers: { authorization: 'Bearer x' } }
    await refuses('outbound.redirected', redirecting('/b'), { ...allowed, request })
    await refuses('outbound.redirected', redirecting('/b'), { ...allowed, request: { method: 'POST' } })
    await refuses('outbound.redirected', answer('', {}, 302), allowed)
  })

  for (const [location, code] of [
    ['http://good.example/b', 'outbound.url_refused'],
    ['//good.example/b', 'outbound.url_refused'],
    ['b', 'outbound.url_refused'],
    ['/../b', 'outbound.url_refused'],
    ['https://10.0.0.1/b', 'outbound.address_refused'],
    ['https://169.254.169.254/b', 'outbound.address_refused'],
    ['/c', 'outbound.redirected'],
  ] as const) {
    test(`refuses a redirect to ${location} where they are followed`, async () => {
      await refuses(code, redirecting(location), { purpose: { redirects: 1 } })
    })
  }

  test('a peer is judged by its certificate, under its authorities, and not by its name', async () => {
    const seen: number[] = []
    const peer = { authorities: webAuthority, verify: (chain: readonly Uint8Array[]) => void seen.push(chain.length) }
    const { outcome } = await fetchFrom(answer(), { names: ['other.example'], purpose: { peer } })
    assert.ok(!AimsError.is(outcome), String(outcome))
    assert.deepEqual(seen, [2])
    const judge = () => {
      throw new AimsError('authentication.peer_unexpected', 'not this one')
    }
    const { outcome: refused, requests } = await refuses('outbound.tls_failed', answer(), {
      purpose: { peer: { ...peer, verify: judge } },
    })
    assert.ok(AimsError.is(refused))
    assert.equal((refused.cause as AimsError).code, 'authentication.peer_unexpected')
    assert.deepEqual(requests, [])
    // The judge alone does not decide.
    await refuses('outbound.tls_failed', answer(), { purpose: { peer: { ...peer, authorities: otherAuthority } } })
  })

  test('takes what is not there for an answer', async () => {
    const { outcome } = await fetchFrom(answer('no', { 'content-type': 'text/html' }, 404), {
      request: { types: ['application/json'] },
    })
    assert.ok(!AimsError.is(outcome))
    assert.equal(outcome.status, 404)
  })

  const answers: readonly (readonly [string, string, RequestListener])[] = [
    ['429', 'outbound.rate_limited', answer('', {}, 429)],
    ['500', 'outbound.refused_by_host', answer('', {}, 500)],
    ['another content type', 'outbound.wrong_type', answer('{}', { 'content-type': 'text/html' })],
    ['no content type', 'outbound.wrong_type', answer('{}', {})],
    [
      'compression',
      'outbound.wrong_type',
      answer(gzipSync(Buffer.alloc(100_000)).toString('latin1'), {
        'content-type': 'application/json',
        'content-encoding': 'gzip',
      }),
    ],
    [
      'too large a body',
      'outbound.too_large',
      answer('x'.repeat(101), { 'content-type': 'application/json', 'content-length': '101' }),
    ],
    [
      'a body without end',
      'outbound.too_large',
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' })
        const more = (): unknown => response.write('x'.repeat(50)) && setImmediate(more)
        more()
      },
    ],
    [
      'a body that breaks off',
      'outbound.invalid_response',
      (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '50' })
        response.write('x')
        setTimeout(() => response.destroy(), 20)
      },
    ],
    ['another protocol', 'outbound.invalid_response', (request) => request.socket.end('SSH-2.0-x\r\n')],
  ]
  for (const [what, code, listener] of answers) {
    test(`refuses an answer with ${what}`, () =>
      refuses(code, listener, { request: { types: ['application/json'] } }).then(() => {}))
  }

  test('a body that drips has a deadline', async () => {
    const listener: RequestListener = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const timer = setInterval(() => response.write('x'), 50)
      response.on('close', () => clearInterval(timer))
    }
    await refuses('outbound.timeout', listener, { purpose: { timeout: 300 } })
  })

  test('a name that nobody answers for has a deadline', async () => {
    await refuses('outbound.timeout', answer(), {
      purpose: { timeout: 100 },
      options: { resolve: () => new Promise(() => {}) },
    })
  })

  test('refuses a certificate of another name, or of another authority', async () => {
    await refuses('outbound.tls_failed', answer(), { names: ['other.example'] })
    await using host = await tlsHost(['good.example'], answer())
    const { authorities: _, ...plain } = purpose
    const fetcher = outbound(towards(host, { test: plain }))
    await assert.rejects(fetcher.fetch('test', 'https://good.example/'), { code: 'outbound.tls_failed' })
  })

  test('no variable of the environment switches the certificate check off, or puts a proxy between', async () => {
    const before = { ...process.env }
    Object.assign(process.env, {
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
      HTTPS_PROXY: 'http://127.0.0.1:1',
      https_proxy: 'http://127.0.0.1:1',
      NODE_USE_ENV_PROXY: '1',
    })
    try {
      await refuses('outbound.tls_failed', answer(), { names: ['other.example'] })
      const { outcome } = await fetchFrom(answer())
      assert.ok(!AimsError.is(outcome))
    } finally {
      process.env = before
    }
  })

  test('no session of another host is resumed', async () => {
    await using first = await tlsHost(['a.example'], answer())
    await using second = await tlsHost(['b.example'], answer())
    const ports: { readonly [address: string]: number } = { '93.184.215.14': first.port, '93.184.215.15': second.port }
    const fetcher = outbound({
      purposes: { test: { ...purpose, hosts: ['a.example', 'b.example'] } },
      resolve: async (host) => [host === 'a.example' ? '93.184.215.14' : '93.184.215.15'],
      connect: (address) => connect({ host: '127.0.0.1', port: ports[address] ?? 0 }),
    })
    await fetcher.fetch('test', 'https://a.example/')
    await fetcher.fetch('test', 'https://b.example/')
    const swapped = outbound({
      purposes: { test: { ...purpose, hosts: ['a.example', 'b.example'] } },
      resolve: async () => ['93.184.215.14'],
      connect: (address) => connect({ host: '127.0.0.1', port: ports[address] ?? 0 }),
    })
    await assert.rejects(swapped.fetch('test', 'https://b.example/'), { code: 'outbound.tls_failed' })
  })

  test('tries the next address when one does not answer', async () => {
    await using host = await tlsHost(['good.example'], answer())
    const tried: string[] = []
    const fetcher = outbound({
      purposes: { test: purpose },
      resolve: async () => ['93.184.215.14', '93.184.215.15'],
      connect(address) {
        tried.push(address)
        return connect({ host: '127.0.0.1', port: address.endsWith('14') ? 1 : host.port })
      },
    })
    assert.equal((await fetcher.fetch('test', 'https://good.example/')).status, 200)
    assert.deepEqual(tried, ['93.184.215.14', '93.184.215.15'])
  })

  test('sends a body, and no header of the request replaces Host', async () => {
    const bodies: string[] = []
    const listener: RequestListener = async (request, response) => {
      for await (const chunk of request) bodies.push(String(chunk))
      answer()(request, response)
    }
    const body = Buffer.from('{"q":1}')
    const { requests } = await fetchFrom(listener, {
      request: { method: 'POST', body, headers: { host: 'evil.example' } },
    })
    assert.deepEqual([requests, bodies], [['POST good.example/a?b=c'], ['{"q":1}']])
  })

  test('a purpose that there is not, and hosts and networks that are none, are mistakes of the program', async () => {
    const fetcher = outbound({ purposes: { test: purpose } })
    await assert.rejects(fetcher.fetch('other' as 'test', 'https://good.example/'), TypeError)
    assert.throws(() => outbound({ purposes: { test: { hosts: ['good.example/path'] } } }), TypeError)
    assert.throws(() => networks(['10.0.0.0/33']), TypeError)
    assert.throws(() => networks(['10.0.0.0']), TypeError)
  })
})

describe('a URL', () => {
  test('of any text is read in one spelling or refused', () => {
    const text = fc.oneof(
      fc.string(),
      fc.webUrl({ validSchemes: ['https'] }),
      fc.string().map((rest) => `https://good.example${rest}`),
    )
    fc.assert(
      fc.property(text, (url) => {
        let parsed: ReturnType<typeof parseOutboundUrl>
        try {
          parsed = parseOutboundUrl(url)
        } catch (error) {
          assert.ok(AimsError.is(error) && error.code === 'outbound.url_refused')
          return
        }
        // Whoever reads it by the URL standard reads the same.
        const standard = new URL(url)
        assert.equal(standard.hostname, parsed.host)
        assert.equal(Number(standard.port || 443), parsed.port)
        assert.equal(
          `${standard.pathname}${standard.search}`.replaceAll("'", '%27'),
          parsed.target.replaceAll("'", '%27').replace(/\?$/, ''),
        )
      }),
    )
  })
})

describe('an address', () => {
  for (const address of ['8.8.8.8', '93.184.215.14', '2606:4700::1111', '172.32.0.1', '100.128.0.1', '9.255.255.255']) {
    test(`${address} is public`, () => assert.equal(isPublicAddress(address), true))
  }
  for (const address of [
    '::',
    '::1',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
    '2002:808:808::',
    '2001:db8::1',
    'fd00::1',
    '1.1.1',
    '',
  ]) {
    test(`${address || 'nothing'} is not`, () => assert.equal(isPublicAddress(address), false))
  }
  test('metadata services are known', () => {
    for (const one of [
      '169.254.169.254',
      '::ffff:169.254.169.254',
      '64:ff9b::a9fe:a9fe',
      'fd00:ec2::254',
      'fd20:ce::254',
      'fe80::a9fe:a9fe',
      '168.63.129.16',
      '64:ff9b::a83f:8110',
      '64:ff9b::6464:64c8',
    ])
      assert.ok(isMetadataAddress(one), one)
  })
})
