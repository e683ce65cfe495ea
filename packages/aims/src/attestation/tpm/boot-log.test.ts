import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { bootedPcrs, bootLog, efiVariable, type LogEvent } from '../../../../../test/support/boot-log.ts'
import { replayBootLog, vouchedEvents } from './boot-log.ts'
import { NO_ACTION, parseEventLog } from './event-log.ts'
import { EVENT, findSecureBoot } from './secure-boot.ts'

const secureBoot = (value: number): LogEvent => ({
  pcr: 7,
  type: EVENT.efiVariable,
  data: efiVariable('SecureBoot', Buffer.of(value)),
})
const variable = (name: string): LogEvent => ({
  pcr: 7,
  type: EVENT.efiVariable,
  data: efiVariable(name, Buffer.from('keys')),
})
const separator: LogEvent = { pcr: 7, type: EVENT.separator, data: Buffer.alloc(4) }
const authority: LogEvent = { pcr: 7, type: EVENT.efiAuthority, data: Buffer.from('signer of the boot loader') }
const firmware: LogEvent = { pcr: 0, type: 0x8000_0008, data: Buffer.from('firmware') }
const boot: readonly LogEvent[] = [firmware, secureBoot(1), variable('PK'), variable('db'), separator, authority]

const quoted = (values: { readonly [pcr: string]: Buffer }) => new Map(Object.entries(values))
/** What a boot with `real` events means, told by `log`. */
const told = (log: readonly LogEvent[], real: readonly LogEvent[] = log) =>
  findSecureBoot(replayBootLog(bootLog(log), quoted(bootedPcrs(real))))
const refused = (code: string, run: () => unknown) => assert.throws(run, { code: `attestation.${code}` })

describe('a boot log', () => {
  test('that leads to the quoted PCRs says whether secure boot was on', () => {
    assert.equal(told(boot), true)
    assert.equal(told([firmware, secureBoot(0), variable('PK'), separator]), false)
  })

  test('that leads elsewhere is refused, whatever it says', () => {
    refused('inconsistent', () => told(boot, [firmware, secureBoot(0), variable('PK'), separator]))
    refused('inconsistent', () => told(boot.slice(0, -1), boot))
    refused('inconsistent', () => told([...boot.slice(1), firmware, firmware], boot))
  })

  test('counts for the PCRs that were quoted only', () => {
    const log = bootLog(boot)
    const values = bootedPcrs(boot)
    const onlyFirmware = replayBootLog(log, quoted({ 'sha256:0': values['sha256:0'] as Buffer }))
    assert.deepEqual(
      onlyFirmware.map(({ register }) => register),
      [0],
    )
    assert.equal(findSecureBoot(onlyFirmware), undefined)
    // A PCR that the log does not mention may have any value.
    assert.equal(replayBootLog(log, quoted({ 'sha256:10': Buffer.alloc(32, 1) })).length, 0)
  })

  test('begins PCR 0 at the locality from which the machine started', () => {
    const locality = { pcr: 0, type: NO_ACTION, data: Buffer.from('StartupLocality\0\x03') }
    const start = Buffer.alloc(32)
    start[31] = 3
    const value = createHash('sha256').update(start).update(createHash('sha256').update('firmware').digest()).digest()
    const events = replayBootLog(bootLog([locality, firmware]), quoted({ 'sha256:0': value }))
    assert.equal(events.length, 1)
    refused('inconsistent', () => replayBootLog(bootLog([firmware, locality]), quoted({ 'sha256:0': value })))
  })

  test('lacking a bank that was quoted is refused', () => {
    refused('inconsistent', () => replayBootLog(bootLog(boot), quoted(bootedPcrs(boot, 'sha384'))))
  })

  test('vouches for digests of quoted banks only', () => {
    // Real in SHA-1, which was quoted; made up in SHA-256, which was not.
    const real = [firmware, secureBoot(0), separator]
    const made = [firmware, secureBoot(1), separator]
    const values = quoted(bootedPcrs(real, 'sha1'))
    const merged = parseEventLog(bootLog(made, ['sha1', 'sha256'])).map((event, at) => {
      const digest = parseEventLog(bootLog(real, ['sha1', 'sha256']))[at]?.digests.get('sha1') as Buffer
      return { ...event, digests: new Map(event.digests).set('sha1', digest) }
    })
    assert.equal(findSecureBoot(vouchedEvents(merged, values)), undefined)
  })
})

describe('secure boot is not known', () => {
  const rows: readonly (readonly [string, readonly LogEvent[]])[] = [
    ['when PCR 7 has no events', [firmware]],
    ['when the variable is not the first event', [variable('PK'), secureBoot(1), separator]],
    ['when there is no separator', [secureBoot(1), variable('PK')]],
    ['when the separator says error', [secureBoot(1), { ...separator, data: Buffer.of(1, 0, 0, 0) }]],
    ['when the separator is not what was extended', [secureBoot(1), { ...separator, digestOf: Buffer.from('x') }]],
    ['when the variable is not what was extended', [{ ...secureBoot(1), digestOf: secureBoot(0).data }, separator]],
    ['when the variable comes again', [secureBoot(1), separator, secureBoot(1)]],
    ['when the variable comes again before the separator', [secureBoot(1), secureBoot(0), separator]],
    ['when two separators come', [secureBoot(1), separator, separator]],
    ['when the value is not a truth value', [secureBoot(2), separator]],
    [
      'when the value is longer',
      [{ pcr: 7, type: EVENT.efiVariable, data: efiVariable('SecureBoot', Buffer.of(1, 1)) }, separator],
    ],
    ['when another type hides what came first', [{ ...secureBoot(0), type: 5 }, secureBoot(1), separator]],
    ['when something hides between', [secureBoot(1), { ...secureBoot(0), type: 5 }, separator]],
    [
      'when the variable is of another vendor',
      [{ ...secureBoot(1), data: Buffer.concat([Buffer.alloc(16), secureBoot(1).data.subarray(16)]) }, separator],
    ],
  ]
  for (const [what, log] of rows) test(what, () => assert.equal(told(log), undefined))

  test('when the log was extended after a boot without it', () => {
    // Root on the running system extends PCR 7 with what it wants to have booted.
    const real = [secureBoot(0), separator, secureBoot(1), separator]
    for (const log of [
      real,
      [{ ...secureBoot(0), type: 5 }, { ...separator, type: 5 }, secureBoot(1), separator],
      [{ ...secureBoot(0), type: EVENT.separator }, separator, secureBoot(1), separator],
    ]) {
      assert.notEqual(told(log, real), true)
    }
  })
})

describe('a boot log that is not the one', () => {
  const whole = bootLog(boot)
  test('because it is larger than 256 KiB, or in the form of TPM 1.2', () => {
    refused('too_large', () => replayBootLog(Buffer.alloc(262_145), quoted(bootedPcrs(boot))))
    refused('unsupported', () => replayBootLog(Buffer.alloc(64), quoted(bootedPcrs(boot))))
  })

  test('has no flipped bit that changes what is known', () => {
    const values = quoted(bootedPcrs(boot))
    for (let at = 0; at < whole.length; at += 1) {
      const flipped = Buffer.from(whole)
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
      try {
        assert.notEqual(findSecureBoot(replayBootLog(flipped, values)), false)
      } catch (error) {
        assert.match((error as { code: string }).code ?? '', /^attestation\./)
      }
    }
  })
})
