import { AimsError } from '../../base/errors.ts'

/** An Azure resource id, taken apart and in lower case: its names do not tell case apart. */
export interface AzureResource {
  readonly subscription: string
  readonly resourceGroup: string
  /** E.g. `microsoft.compute/virtualmachines`. */
  readonly type: string
  /** One per type segment: a machine of a scale set has two. */
  readonly names: readonly string[]
  /** The whole id in lower case. Compare it whole: no part of it says what the id begins or ends with. */
  readonly id: string
}

const SUBSCRIPTION = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const NAME = /^[^/\p{Cc}\s?#%\\]{1,260}$/u
const MAX_ID = 450

/**
 * Reads `/subscriptions/S/resourceGroups/G/providers/NAMESPACE/TYPE/NAME[/TYPE/NAME]` by its segments (N29).
 *
 * @throws {@link AimsError} `attestation.malformed`
 */
export function parseAzureResource(text: string): AzureResource {
  const id = lowerAscii(text)
  const [empty, subscriptions, subscription = '', groups, resourceGroup = '', providers, namespace, ...rest] =
    id.split('/')
  const isPath =
    text.length <= MAX_ID &&
    empty === '' &&
    subscriptions === 'subscriptions' &&
    SUBSCRIPTION.test(subscription) &&
    groups === 'resourcegroups' &&
    providers === 'providers' &&
    [resourceGroup, namespace, ...rest].every((part) => NAME.test(part ?? '') && part !== '.' && part !== '..')
  if (!isPath || rest.length === 0 || rest.length % 2 !== 0) {
    throw new AimsError('attestation.malformed', 'not the id of an Azure resource')
  }
  const type = [namespace, ...rest.filter((_, i) => i % 2 === 0)].join('/')
  return { subscription, resourceGroup, type, names: rest.filter((_, i) => i % 2 === 1), id }
}

/** A to Z alone: Unicode knows more pairs, such as the Kelvin sign and k, and Azure does not take those for equal. */
export function lowerAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}
