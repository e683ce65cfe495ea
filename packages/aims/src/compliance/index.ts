export { REQUIREMENTS } from './requirements.generated.ts'
export { type RequirementRecord, type RequirementsFormat, renderRequirements } from './requirements.ts'
