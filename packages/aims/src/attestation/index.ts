export type { AttestationResult, AttestationType, Attestor } from './attestor.ts'
