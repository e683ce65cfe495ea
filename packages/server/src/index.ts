export {
  type AdminClient,
  type AppliedChange,
  type AuthorityStep,
  adminClient,
  type EntryInput,
  type ExportedRecords,
  type ProvenRecord,
  type RecordQuery,
  type RelationshipInput,
  type ServerStatus,
} from './admin-client.ts'
export { examineVerifiers, type SwitchedOn } from './attestation/verifiers.ts'
export { type CheckedBackup, checkBackup } from './backup/check.ts'
export { downloadBackup } from './backup/download.ts'
export type { BackupFile, BackupManifest } from './backup/manifest.ts'
export { type Restored, type RestoreOptions, restoreBackup } from './backup/restore.ts'
export { type ConfigSources, loadConfig, loadSettings, type SettingsTable } from './config/config.ts'
export { settingsMarkdown } from './config/documentation.ts'
export type { ConfiguredRelationship } from './config/federation-setting.ts'
export {
  duration,
  type EnabledProfile,
  flag,
  integer,
  optionalDuration,
  optionalPath,
  type SettingType,
} from './config/setting-types.ts'
export { type Configuration, environmentName, SETTINGS, type Setting } from './config/settings.ts'
export { makeDataDirectory } from './data-directory.ts'
export type { RelationshipStatus } from './federation/federation.ts'
export type { AuthorityPurpose, KeyInfo } from './keys/authority-types.ts'
export { examineKeyManager } from './keys/managers/configured.ts'
export { type FiledEntry, readEntryFile } from './registration/entry-file.ts'
export type { PlanRequest, ServerPlan } from './registration/planning.ts'
export { type ExaminedRollback, examineRollback } from './rollback/examine.ts'
export { type RunningServer, type ServerOptions, startServer } from './server.ts'
export { downgradeStore, type SteppedBack } from './store/step-back.ts'
