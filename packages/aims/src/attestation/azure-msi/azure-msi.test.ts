import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  AZURE_MSI,
  attestToken,
  type Claims,
  challenged,
  jwks,
  platformKey,
  platformToken,
  SUBSCRIPTION,
  TENANT,
  TOKEN_NOW,
} from '../../../../../test/support/platform-tokens.ts'
import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { collateralOf } from '../collateral.ts'
import { attestEvidence } from '../evidence.ts'
import { azureMsiCollateral, azureMsiVerifier } from './azure-msi.ts'
import { lowerAscii, parseAzureResource } from './resource-id.ts'

const OTHER = '00000000-86f1-41af-91ab-2d7cd011db47'
const token = (claims: Claims = {}) => platformToken(AZURE_MSI, { claims })
const machine = (name: string, group = 'frontend', subscription = SUBSCRIPTION) =>
  `/subscriptions/${subscription}/resourceGroups/${group}/providers/Microsoft.Compute/virtualMachines/${name}`

describe('a token of a managed identity', () => {
  test('says which resource asked for it, and binds to nothing', async () => {
    const result = await attestToken(AZURE_MSI, token())
    assert.deepEqual([result.binding, result.freshness], ['none', 'window'])
    assert.deepEqual(result.selectors, [
      `azure_msi:tenant-id:${TENANT}`,
      `azure_msi:subscription-id:${SUBSCRIPTION}`,
      'azure_msi:principal-id:8a5f7c2e-1b1a-4d5e-9a55-222222222222',
      `azure_msi:resource-group:${SUBSCRIPTION}:frontend`,
      `azure_msi:resource-id:${machine('web').toLowerCase()}`,
      'azure_msi:vm-name:frontend:web',
    ])
    assert.deepEqual(result.warnings, [])
  })

  test('is shown again by the key that came first, because Azure gives the same one for hours', async () => {
    const verifier = AZURE_MSI.verifier(azureMsiCollateral([{ name: 'x', bytes: jwks(platformKey) }]))
    const { statement, attested } = await verifier.authenticate(token(), { now: TOKEN_NOW, expected: challenged })
    assert.equal(statement, undefined)
    assert.match(attested, /^azure-msi:8a5f7c2e-1b1a-4d5e-9a55-222222222222:\/subscriptions\//)
  })

  test('of a scale set, and of an identity that stands for itself, says so', async () => {
    const base = `/subscriptions/${SUBSCRIPTION}/resourceGroups/Frontend/providers`
    const identity = `${base}/Microsoft.ManagedIdentity/userAssignedIdentities/Bots`
    const set = `${base}/Microsoft.Compute/virtualMachineScaleSets/Web/virtualMachines/3`
    const { selectors } = await attestToken(AZURE_MSI, token({ xms_az_rid: set, xms_mirid: identity }))
    assert.ok(selectors.includes('azure_msi:vmss-name:frontend:web'))
    assert.ok(selectors.includes(`azure_msi:identity-id:${identity.toLowerCase()}`))
    assert.equal(selectors.filter((one) => one.startsWith('azure_msi:vm-name')).length, 0)
  })

  test('without xms_az_rid is of the resource the identity belongs to', async () => {
    const { selectors } = await attestToken(AZURE_MSI, token({ xms_az_rid: undefined }))
    assert.ok(selectors.includes('azure_msi:vm-name:frontend:web'))
  })

  const rows: readonly (readonly [string, string, Claims])[] = [
    ['of another tenant', 'attestation.issuer_unknown', { tid: OTHER, iss: `https://sts.windows.net/${OTHER}/` }],
    [
      'whose issuer is that of another tenant',
      'attestation.issuer_unknown',
      { iss: `https://sts.windows.net/${OTHER}/` },
    ],
    ['whose tid is a path', 'attestation.issuer_unknown', { tid: '../gcp' }],
    ['without tid', 'attestation.issuer_unknown', { tid: undefined }],
    ['of a person', 'attestation.malformed', { scp: 'user_impersonation' }],
    ['without oid', 'attestation.malformed', { oid: undefined }],
    ['of an application without a resource', 'attestation.malformed', { xms_az_rid: undefined, xms_mirid: undefined }],
    ['whose resource is no id', 'attestation.malformed', { xms_az_rid: 'https://example.com/vm' }],
    ['that lives two days', 'attestation.lifetime_too_long', { exp: TOKEN_NOW + 2 * 86_400 }],
    ['for the Azure API', 'attestation.binding_mismatch', { aud: 'https://management.azure.com/' }],
  ]
  for (const [what, code, claims] of rows) {
    test(`${what} is refused`, () => assert.rejects(attestToken(AZURE_MSI, token(claims)), { code }))
  }

  test('for a common resource of Azure is refused, whatever is expected', async () => {
    for (const aud of ['https://management.azure.com/', 'https://MANAGEMENT.azure.com', 'https://vault.azure.net']) {
      for (const expected of [{ kind: 'audience', audience: aud }, { kind: 'unchecked' }] as const) {
        const answer = attestToken(AZURE_MSI, token({ aud }), { expected })
        await assert.rejects(answer, { code: 'attestation.binding_mismatch' })
      }
    }
  })

  test('cannot be expected to carry data, or a challenge without an audience of our own', async () => {
    const data = { kind: 'data', data: Buffer.from('x') } as const
    await assert.rejects(attestToken(AZURE_MSI, token(), { expected: data }), { code: 'attestation.binding_mismatch' })
    const verifier = azureMsiVerifier({ collateral: azureMsiCollateral([{ name: 'x', bytes: jwks(platformKey) }]) })
    const challenge = { nonce: Buffer.alloc(32), publicKey: Buffer.from('k') }
    const context = { now: TOKEN_NOW, expected: { kind: 'challenge', challenge, trustDomain: 'example.com' } } as const
    assert.throws(() => verifier.authenticate(token(), context), { code: 'attestation.binding_missing' })
  })

  test('of any tenant passes with a warning where none is named', async () => {
    const verifier = azureMsiVerifier({ collateral: azureMsiCollateral([{ name: 'x', bytes: jwks(platformKey) }]) })
    const attest = (policy: JsonObject) => {
      const context = { now: TOKEN_NOW, expected: { kind: 'audience', audience: 'api://aims.example.com' } } as const
      return attestEvidence(verifier, token(), context, verifier.readPolicy(policy))
    }
    assert.deepEqual((await attest({})).warnings, ['no tenant is named: any whose keys are at hand passes'])
    assert.deepEqual((await attest({ tenants: [TENANT.toUpperCase()] })).warnings, [])
    await assert.rejects(attest({ tenants: [OTHER] }), { code: 'attestation.not_allowed' })
  })

  test('is held against the keys of its own tenant alone', async () => {
    const files = { [`azure/${OTHER}/jwks.json`]: jwks(platformKey) }
    await assert.rejects(attestToken(AZURE_MSI, token(), { files }), { code: 'attestation.collateral_missing' })
  })

  test('is verified for nobody in particular or for Azure itself only by mistake of the programmer', () => {
    const collateral = collateralOf({})
    assert.throws(() => azureMsiVerifier({ collateral, tenants: ['example.com'] }), TypeError)
    assert.throws(() => azureMsiVerifier({ collateral, audience: 'https://management.azure.com/' }), TypeError)
  })
})

describe('the policy for managed identities', () => {
  const rows: readonly (readonly [string, JsonObject, boolean])[] = [
    ['its machine', { resources: [machine('web')] }, true],
    ['its machine in other letters', { resources: [machine('WEB', 'FrontEnd').replace('/sub', '/SUB')] }, true],
    ['a machine whose name goes on (N29)', { resources: [machine('web-evil')] }, false],
    ['a machine whose name ends sooner (N29)', { resources: [machine('we')] }, false],
    ['a machine of another group (N29)', { resources: [machine('web', 'frontend2')] }, false],
    ['a machine of another subscription (N29)', { resources: [machine('web', 'frontend', OTHER)] }, false],
    ['its group', { resourceGroups: [`${SUBSCRIPTION}/Frontend`] }, true],
    ['a group of the same name elsewhere (N29)', { resourceGroups: [`${OTHER}/frontend`] }, false],
    ['its subscription', { subscriptions: [SUBSCRIPTION.toUpperCase()] }, true],
    ['another subscription (N29)', { subscriptions: [OTHER] }, false],
    ['its identity', { principals: ['8a5f7c2e-1b1a-4d5e-9a55-222222222222'] }, true],
    ['another identity', { principals: [OTHER] }, false],
  ]
  for (const [what, policy, passes] of rows) {
    test(`${what} ${passes ? 'passes' : 'is refused'}`, async () => {
      const answer = attestToken(AZURE_MSI, token(), { policy })
      if (passes) await answer
      else await assert.rejects(answer, { code: 'attestation.not_allowed' })
    })
  }

  test('a name with a Kelvin sign is not one with k (N29)', async () => {
    const elsewhere = token({ xms_az_rid: machine('web', 'bac\u212aend') })
    const policy = { resources: [machine('web', 'backend')] }
    await assert.rejects(attestToken(AZURE_MSI, elsewhere, { policy }), { code: 'attestation.not_allowed' })
  })

  test('an identity used on another machine than the one allowed is refused (N29)', async () => {
    const identity = `/subscriptions/${SUBSCRIPTION}/resourceGroups/x/providers/Microsoft.ManagedIdentity/userAssignedIdentities/bots`
    const elsewhere = token({ xms_az_rid: machine('evil'), xms_mirid: identity })
    const policy = { resources: [machine('web')] }
    await assert.rejects(attestToken(AZURE_MSI, elsewhere, { policy }), { code: 'attestation.not_allowed' })
  })

  for (const [what, policy] of [
    ['names of machines', { resources: ['web'] }],
    ['ids without a name', { resources: [`/subscriptions/${SUBSCRIPTION}/resourceGroups/a`] }],
    ['groups without a subscription', { resourceGroups: ['frontend'] }],
    ['tenants by name', { tenants: ['example.com'] }],
    ['names in a member of their own', { vmName: 'web' }],
  ] as const satisfies readonly (readonly [string, JsonObject])[]) {
    test(`${what} in it are refused`, () =>
      assert.throws(() => attestToken(AZURE_MSI, token(), { policy }), { code: 'attestation.policy_malformed' }))
  }
})

describe('the id of an Azure resource', () => {
  const good = machine('web')
  for (const id of [
    good.slice(1),
    `${good}/`,
    `/${good}`,
    `${good}/extensions`,
    good.replace('/web', '/..'),
    good.replace('/web', '/we%62'),
    good.replace('/web', '/a b'),
    good.replace('virtualMachines/', 'virtualMachines//'),
    good.replace('resourceGroups', 'groups'),
    good.replace(SUBSCRIPTION, 'mine'),
    good.replace('providers', 'provider'),
    `${good}${'a'.repeat(450)}`,
    '',
  ]) {
    test(`${JSON.stringify(id.slice(0, 160))} is refused`, () =>
      assert.throws(() => parseAzureResource(id), { code: 'attestation.malformed' }))
  }

  test('is read or refused, and does not tell case apart (property)', () => {
    const part = fc.string({ minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(part, part, (group, name) => {
        try {
          const { id, names, resourceGroup } = parseAzureResource(machine(name, group))
          assert.deepEqual([names, resourceGroup], [[lowerAscii(name)], lowerAscii(group)])
          assert.equal(parseAzureResource(id.toUpperCase()).id, parseAzureResource(id).id)
        } catch (error) {
          assert.ok(AimsError.is(error), String(error))
        }
      }),
    )
  })
})
