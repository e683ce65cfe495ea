export type { AttestationResult, AttestationType, Attestor } from './attestor.ts'
export {
  loadPeerCredentialProvider,
  type PeerCredentialProvider,
  type PeerCredentials,
  releasePeerCredentials,
} from './peer-credentials.ts'
export { type UnixAttestorOptions, unixAttestor } from './unix.ts'
