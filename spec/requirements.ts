import { authentication } from './requirements/authentication.ts'
import { authorization } from './requirements/authorization.ts'
import { compliance } from './requirements/compliance.ts'
import { credentials } from './requirements/credentials.ts'
import { identifiers } from './requirements/identifiers.ts'
import { monitoring } from './requirements/monitoring.ts'
import { policy } from './requirements/policy.ts'
import { provisioning } from './requirements/provisioning.ts'
import type { Requirement } from './requirements/requirement.ts'

export type { Requirement } from './requirements/requirement.ts'

/**
 * What the specifications, and our own rules, ask of this project. A test cites the id of what it proves, as
 * `[layer.topic.nn]` in its title or in a comment above it; `implemented` without such a test fails the build.
 */
export const REQUIREMENTS: readonly Requirement[] = [
  ...identifiers,
  ...credentials,
  ...provisioning,
  ...authentication,
  ...authorization,
  ...monitoring,
  ...policy,
  ...compliance,
]
