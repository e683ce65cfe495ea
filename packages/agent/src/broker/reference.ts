import type { LocatedProcess, ProcessLocator } from 'aims/attestation'
import { AimsError } from 'aims/base'
import { kubernetesReference, pidReference, REFERENCE_TYPES, type WorkloadRequest } from 'aims/provisioning'

/**
 * Finds the workload that a broker names. Nothing that the broker says of it counts but which one it is.
 *
 * @throws {@link AimsError} `provisioning.reference_invalid`, `provisioning.reference_unsupported`; what the locator throws
 * @see SPIFFE Broker API, section 3.1
 */
export function resolveReference({ reference }: WorkloadRequest, locator: ProcessLocator): LocatedProcess {
  if (reference === undefined) throw invalid('the request names no workload')
  const { typeUrl, value } = reference
  if (typeUrl === REFERENCE_TYPES.pid) {
    const pid = decode(() => pidReference.decode(value))
    if (pid <= 0) throw invalid('a PID is a positive integer')
    return locator.locate(pid)
  }
  if (typeUrl === REFERENCE_TYPES.kubernetes) requireKubernetesReference(value)
  throw new AimsError('provisioning.reference_unsupported', 'references of this type are not resolved here')
}

// What is wrong anywhere is told apart from what is only not to be had here.
function requireKubernetesReference(value: Uint8Array): void {
  const { type, key, uid } = decode(() => kubernetesReference.decode(value))
  if (type.plural === '' || type.group === '') throw invalid('a Kubernetes object has a type with plural and group')
  if (key === undefined && uid === '') throw invalid('a Kubernetes object is named by key or uid')
  if (key?.name === '') throw invalid('the key of a Kubernetes object has a name')
}

function decode<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (AimsError.is(cause)) throw invalid('the reference is not well-formed protobuf', cause)
    throw cause
  }
}

function invalid(message: string, cause?: unknown): AimsError {
  return new AimsError('provisioning.reference_invalid', message, { cause })
}
