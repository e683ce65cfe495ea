import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  isvLevel,
  LOWEST,
  MODULE,
  PCK_FIELDS,
  TD_BODY,
  tcbInfo,
  tcbLevel,
} from '../../../../../test/support/dcap-pki.ts'
import { parseJsonObject } from '../../base/json.ts'
import type { DcapPlatform } from './pck.ts'
import { rateSgx, rateTdx } from './rating.ts'
import { readTdReport } from './report-body.ts'
import { type IsvLevel, readTcbInfo, type TcbInfo } from './tcb-info.ts'
import { converge, PLATFORM_STATUSES, type TcbStatus } from './tcb-status.ts'

const platform: DcapPlatform = { ...PCK_FIELDS, sgxType: 0 }
const qe = (status: TcbStatus = 'UpToDate', advisories: readonly string[] = []): IsvLevel => ({
  isvSvn: 4,
  status,
  date: 1_700_000_000,
  advisories,
})
const read = (tee: 'sgx' | 'tdx', change: object): TcbInfo =>
  readTcbInfo(parseJsonObject(JSON.stringify(tcbInfo(tee, { ...change }))))
const report = (kind: 'td10' | 'td15', svn: readonly number[], svn2: readonly number[] = svn) => {
  const bytes = Buffer.alloc(kind === 'td15' ? 648 : 584)
  for (const [offset, value] of Object.entries(TD_BODY)) bytes.set(value as Uint8Array, Number(offset))
  bytes.set(svn, 0)
  if (kind === 'td15') bytes.set(svn2, 584)
  return readTdReport(bytes.fill(0, 123, 124), kind)
}
const svns = (list: readonly number[]) => Array.from({ length: 16 }, (_, at) => ({ svn: list[at] ?? 0 }))

describe('the level of a platform', () => {
  const sgx = (status: string, from: number, pcesvn = 0) =>
    tcbLevel(status, {}, { sgxtcbcomponents: svns(PCK_FIELDS.componentSvns.map((one) => one + from)), pcesvn })

  test('is the first that every component and the PCE reach', () => {
    const info = read('sgx', { tcbLevels: [sgx('OutOfDate', 0, 11), sgx('UpToDate', 0, 12), sgx('UpToDate', 1)] })
    assert.equal(rateSgx(info, platform, qe()).status, 'OutOfDate')
    assert.equal(rateSgx(info, { ...platform, pceSvn: 12 }, qe()).status, 'UpToDate')
  })

  for (let at = 0; at < 16; at += 1) {
    test(`is not reached when component ${at} is one too low`, () => {
      const componentSvns = Array.from({ length: 16 }, () => 3)
      const info = read('sgx', {
        tcbLevels: [tcbLevel('UpToDate', {}, { sgxtcbcomponents: svns(componentSvns), pcesvn: 0 })],
      })
      assert.equal(rateSgx(info, { ...platform, componentSvns }, qe()).status, 'UpToDate')
      const lower = componentSvns.with(at, 2)
      assert.throws(() => rateSgx(info, { ...platform, componentSvns: lower }, qe()), {
        code: 'attestation.tcb_unknown',
      })
    })
    if (at < 3) continue
    test(`of TDX is not reached when component ${at} is one too low`, () => {
      const tdx: readonly number[] = Array.from({ length: 16 }, (_, index) => (index === at ? 3 : 0))
      const info = read('tdx', { tcbLevels: [tcbLevel('UpToDate', {}, { tdxtcbcomponents: svns(tdx) })] })
      assert.equal(rateTdx(info, platform, report('td10', [6, 1, 0].concat(tdx.slice(3))), qe()).status, 'UpToDate')
      const lower = [6, 1, 0].concat(tdx.with(at, 2).slice(3))
      assert.throws(() => rateTdx(info, platform, report('td10', lower), qe()), { code: 'attestation.tcb_unknown' })
    })
  }

  test('collects advisories once and the earliest date of what counts', () => {
    const level = tcbLevel('SWHardeningNeeded', { advisoryIDs: ['A', 'B'], tcbDate: '2024-01-01T00:00:00Z' })
    const { advisories, date } = rateSgx(read('sgx', { tcbLevels: [level] }), platform, qe('UpToDate', ['B', 'C']))
    assert.deepEqual(advisories, ['A', 'B', 'C'])
    assert.equal(date, 1_700_000_000)
  })
})

describe('statuses converge', () => {
  const outOfDate: Readonly<Record<string, TcbStatus>> = {
    UpToDate: 'OutOfDate',
    SWHardeningNeeded: 'OutOfDate',
    ConfigurationNeeded: 'OutOfDateConfigurationNeeded',
    ConfigurationAndSWHardeningNeeded: 'OutOfDateConfigurationNeeded',
    OutOfDate: 'OutOfDate',
    OutOfDateConfigurationNeeded: 'OutOfDateConfigurationNeeded',
    Revoked: 'Revoked',
  }
  for (const status of PLATFORM_STATUSES) {
    test(`${status} with every status of a part`, () => {
      assert.equal(converge(status, 'UpToDate'), status)
      assert.equal(converge(status, 'OutOfDate'), outOfDate[status])
      assert.equal(converge(status, 'Revoked'), 'Revoked')
    })
  }
})

describe('the TDX module', () => {
  const refused = (code: string, change: object, svn = [6, 1, 5]) =>
    assert.throws(() => rateTdx(read('tdx', change), platform, report('td10', svn), qe()), {
      code: `attestation.${code}`,
    })
  const identities = (...list: readonly object[]) => ({ tdxModuleIdentities: list })

  test('of another signer is refused (N12)', () => {
    const other = { ...MODULE, mrsigner: '1'.repeat(96) }
    refused('chain_invalid', identities({ id: 'TDX_01', ...other, tcbLevels: [isvLevel(6)] }))
    refused('chain_invalid', { tdxModule: other }, [6, 0, 5])
  })

  test('with an attribute is refused, even one that the mask leaves out (N12)', () => {
    const bytes = Buffer.alloc(584)
    bytes.set([6, 1, 5], 0)
    bytes[112] = 1
    const open = { ...MODULE, attributesMask: '0'.repeat(16) }
    const info = read('tdx', identities({ id: 'TDX_01', ...open, tcbLevels: [isvLevel(6)] }))
    assert.throws(() => rateTdx(info, platform, readTdReport(bytes, 'td10'), qe()), {
      code: 'attestation.chain_invalid',
    })
  })

  test('of a major version that is not listed, or below every level, has no level (N12)', () => {
    refused('tcb_unknown', {}, [6, 2, 5])
    refused('tcb_unknown', { tdxModuleIdentities: undefined })
    refused('tcb_unknown', {}, [1, 1, 5])
  })

  test('is found whatever the case of its id', () => {
    const info = read('tdx', identities({ id: 'TDX_0a', ...MODULE, tcbLevels: [isvLevel(1)] }))
    assert.equal(rateTdx(info, platform, report('td10', [1, 10, 5]), qe()).status, 'UpToDate')
  })

  test('with a major version takes components 0 and 1 out of the comparison; without, they count', () => {
    const info = read('tdx', { tcbLevels: [tcbLevel('UpToDate', {}, { tdxtcbcomponents: svns([7, 0, 5]) })] })
    assert.equal(rateTdx(info, platform, report('td10', [6, 1, 5]), qe()).status, 'UpToDate')
    assert.throws(() => rateTdx(info, platform, report('td10', [6, 0, 5]), qe()), { code: 'attestation.tcb_unknown' })
    assert.equal(rateTdx(info, platform, report('td10', [7, 0, 5]), qe()).status, 'UpToDate')
  })

  test('that is out of date or revoked makes the platform so', () => {
    const { status, advisories } = rateTdx(read('tdx', {}), platform, report('td10', [2, 1, 5]), qe())
    assert.equal(status, 'OutOfDate')
    assert.deepEqual(advisories, ['INTEL-SA-00002'])
    const revoked = read('tdx', identities({ id: 'TDX_01', ...MODULE, tcbLevels: [isvLevel(1, 'Revoked')] }))
    assert.equal(rateTdx(revoked, platform, report('td15', [2, 1, 5], [6, 1, 5]), qe()).status, 'Revoked')
  })
})

describe('a guest launched under an old module', () => {
  const OLD = [2, 1, 5]
  const rate = (svn2: readonly number[], change: object = {}, status: TcbStatus = 'UpToDate') =>
    rateTdx(read('tdx', change), platform, report('td15', OLD, svn2), qe(status)).status

  for (const [title, status, svn2, change, qeStatus] of [
    ['is advised to relaunch where the module is current now', 'TDRelaunchAdvised', [6, 1, 5], {}, 'UpToDate'],
    ['also where the module has a new major version', 'TDRelaunchAdvised', [3, 3, 5], {}, 'UpToDate'],
    ['also where the module has no major version', 'TDRelaunchAdvised', [5, 0, 5], {}, 'UpToDate'],
    ['is out of date where the module still is', 'OutOfDate', OLD, {}, 'UpToDate'],
    ['is out of date where the module is one version too low', 'OutOfDate', [5, 1, 5], {}, 'UpToDate'],
    ['is out of date where the module without major version is too low', 'OutOfDate', [4, 0, 5], {}, 'UpToDate'],
    ['is out of date where the microcode is too low', 'OutOfDate', [6, 1, 4], {}, 'UpToDate'],
    ['is out of date where the quoting enclave is', 'OutOfDate', [6, 1, 5], {}, 'OutOfDate'],
    ['is revoked where the quoting enclave is', 'Revoked', [6, 1, 5], {}, 'Revoked'],
    [
      'is told of the configuration too',
      'TDRelaunchAdvisedConfigurationNeeded',
      [6, 1, 5],
      { tcbLevels: [tcbLevel('ConfigurationNeeded')] },
      'UpToDate',
    ],
    [
      'is out of date where the platform is',
      'OutOfDate',
      [6, 1, 5],
      { tcbLevels: [tcbLevel('UpToDate', {}, { pcesvn: 12 }), tcbLevel('OutOfDate', {}, LOWEST)] },
      'UpToDate',
    ],
  ] as const) {
    test(`${title}: ${status}`, () => assert.equal(rate(svn2, change, qeStatus), status))
  }

  test('has no level when the module that runs now is not listed', () => {
    assert.throws(() => rate([6, 2, 5]), { code: 'attestation.tcb_unknown' })
  })

  test('without a second set of versions is out of date', () => {
    assert.equal(rateTdx(read('tdx', {}), platform, report('td10', OLD), qe()).status, 'OutOfDate')
  })
})
