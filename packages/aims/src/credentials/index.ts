export type { BundleSource, TrustBundle } from './bundle/bundle.ts'
