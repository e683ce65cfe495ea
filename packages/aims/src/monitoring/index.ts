export type { Cause } from './causes/cause.ts'
export { CAUSES, diagnose, type NamedCause, type ToldRefusal } from './causes/diagnose.ts'
export {
  type Checkpoint,
  formatCheckpoint,
  parseCheckpoint,
  type VerifiedCheckpoint,
  verifyCheckpoint,
} from './checkpoint.ts'
export { EVENT_TYPES, type EventType, findEventType } from './event-types.ts'
export {
  type FlushingObserver,
  flushingRefusals,
  type LimitedObserver,
  limitRefusals,
  type RefusalLimits,
} from './limit-refusals.ts'
export { type Appended, AuditLog, type AuditLogOptions } from './log.ts'
export type { RecordFilter } from './log-store.ts'
export {
  type ConsistencyClaim,
  type InclusionClaim,
  leafHash,
  verifyConsistency,
  verifyInclusion,
} from './merkle.ts'
export {
  formatVerifierKey,
  parseUnverifiedNote,
  parseVerifierKey,
  signNote,
  type UnverifiedNote,
  type VerifiedNote,
  type VerifierKey,
  verifyNote,
} from './note.ts'
export {
  formatReceipt,
  type InclusionReceipt,
  type KnownLog,
  parseUnverifiedReceipt,
  verifyReceipt,
} from './proof.ts'
export { type AuditEntry, AuditReader } from './reader.ts'
export { type AuditRecord, decodeRecord } from './record.ts'
export { remoteObserver } from './remote-observer.ts'
export { databaseSource, exportLog, folderSource, type OpenLogSource } from './sources.ts'
export { type ExpectedLog, type LogSource, type LogVerdict, verifyLog } from './verify.ts'
