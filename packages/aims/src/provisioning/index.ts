export {
  CREDENTIAL_TYPES,
  type CredentialType,
  DEFAULT_TTLS,
  type EntryRules,
  entryToJson,
  isSelector,
  parseEntry,
  type RegistrationEntry,
  type TtlRule,
  type TtlRules,
} from './entry.ts'
export {
  type AuthorityKeys,
  type ConfirmationKey,
  type ConfirmationRegistry,
  createIssuer,
  type IssuanceRequest,
  type Issuer,
  type IssuerOptions,
  type KeyBindings,
  type KeyedIssuanceRequest,
  type Posture,
} from './issuer.ts'
export { isMatch, matchEntries } from './match.ts'
