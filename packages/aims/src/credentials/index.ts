export type { BundleSource, TrustBundle } from './bundle/bundle.ts'
export { PROFILES, type Profile } from './profile.ts'
