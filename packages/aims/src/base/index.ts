export { ALGORITHMS, type Algorithm, isJwsAlgorithm, type JwsAlgorithm, SPIFFE_ALGORITHMS } from './algorithms.ts'
export { type ApiAddress, type ApiClient, type ApiRequest, apiClient } from './api-client.ts'
export { decodeBase64, decodeBase64url, encodeBase64url, equalConstantTime, sha256, sha256Base64url } from './bytes.ts'
export { type Check, type CheckFacts, checkOf } from './check.ts'
export { type Clock, systemClock } from './clock.ts'
export { createCorrelationId } from './correlation-id.ts'
export { type Deadline, startDeadline } from './deadline.ts'
export { createDirectory, printMode } from './directory.ts'
export { ERROR_CODES } from './error-codes/index.ts'
export { AimsError, type AimsErrorCode, type AimsErrorOptions, refuseAs } from './errors.ts'
export { type AuditEvent, type AuditEventType, noObserver, type Observer } from './event.ts'
export { type HttpOptions, type HttpRequest, type HttpResponse, parseHttpRequest, parseHttpResponse } from './http.ts'
export { canonicalJson } from './jcs.ts'
export { isJsonObject, type JsonLimits, type JsonObject, type JsonValue, parseJson, parseJsonObject } from './json.ts'
export {
  createKeyEncryptionKey,
  isMacOf,
  type KeyEncryptionKey,
  keyEncryptionKey,
  readKeyEncryptionKey,
} from './key-encryption-key.ts'
export { KeyToCertify } from './key-to-certify.ts'
export {
  exportPublicJwk,
  importKeyToCertify,
  importPrivateKey,
  importPublicJwk,
  importVerificationKey,
  jwkThumbprint,
  type LocalSigner,
  type PublicJwk,
  type PublicKey,
  type Signer,
  spkiBytes,
  type VerificationKey,
  verificationKey,
  WorkloadKey,
} from './keys.ts'
export {
  type Outbound,
  type OutboundOptions,
  type OutboundPurpose,
  type OutboundRequest,
  type OutboundResponse,
  outbound,
  RateLimitedError,
} from './outbound.ts'
export { type Networks, networks, type Resolver, resolveBySystem, vettedAddresses } from './outbound-addresses.ts'
export { type ConnectionOptions, openConnection, type TlsPeer } from './outbound-connection.ts'
export { type OutboundUrl, parseOutboundUrl } from './outbound-url.ts'
export { encodePem, type PemBlock, parsePem } from './pem.ts'
export { type Hidden, hiddenKey, hiddenToken } from './scrub/forms.ts'
export { type ChangingTable, changingTable, type PatternTable, patternTable } from './scrub/pattern-table.ts'
export { createScrubber, type Scrubber, scrubText } from './scrub/scrubber.ts'
export { withoutSecrets } from './secret-text.ts'
export { type DatabaseOptions, type FileLock, lockFile, openDatabase, storing, transaction } from './sqlite.ts'
export { stderrObserver } from './stderr-observer.ts'
export { type BucketSettings, createTokenBuckets, type TokenBuckets } from './token-buckets.ts'
export { type TroubleLog, troubleLog } from './trouble-log.ts'
export { type BoundSocket, bindSocket, type SocketPlace } from './unix-socket.ts'
