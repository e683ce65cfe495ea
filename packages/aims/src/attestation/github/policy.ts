import { AimsError } from '../../base/errors.ts'
import type { JsonObject } from '../../base/json.ts'
import { requireAllowed } from '../appraisal/allowed.ts'
import { formList, readPolicyFields, textList } from '../appraisal/policy-fields.ts'
import type { Authenticated } from '../evidence.ts'
import type { GithubClaims } from './claims.ts'

/** Which jobs are accepted. `{}`: any repository, with a warning, but no event that outsiders can cause. */
export interface GithubPolicy {
  /** Numbers of owners, `repository_owner_id`. Names are not accepted: they change hands. Absent: any. */
  readonly owners: readonly string[] | undefined
  /** Numbers of repositories, `repository_id`. Absent: any. */
  readonly repositories: readonly string[] | undefined
  /** Workflow files with their ref, e.g. `octo/bots/.github/workflows/deploy.yml@refs/heads/main`. Absent: any. */
  readonly workflows: readonly string[] | undefined
  /** E.g. `refs/heads/main`. Absent: any. */
  readonly refs: readonly string[] | undefined
  /** Environments. Absent: any, and none. */
  readonly environments: readonly string[] | undefined
  /** Events, e.g. `push`. Absent: those that only people with write access can cause. */
  readonly events: readonly string[] | undefined
  /** `github-hosted`, `self-hosted`. Absent: any. */
  readonly runners: readonly string[] | undefined
}

/**
 * Events that take write access to the repository, or its own configuration. In others, such as pull requests, comments
 * and what follows from them, somebody without it decides what runs or what it is fed; of an event that is not known here,
 * nobody can say.
 */
const INSIDERS: ReadonlySet<string> = new Set([
  'push',
  'create',
  'delete',
  'schedule',
  'workflow_dispatch',
  'repository_dispatch',
  'release',
  'deployment',
  'merge_group',
  'registry_package',
])

const NUMBERS = /^[0-9]{1,32}$/

/** @throws {@link AimsError} `attestation.policy_malformed` */
export function readGithubPolicy(document: JsonObject): GithubPolicy {
  return readPolicyFields<GithubPolicy>(document, {
    owners: formList(NUMBERS, 'numbers of owners, not their names'),
    repositories: formList(NUMBERS, 'numbers of repositories, not their names'),
    workflows: formList(/^[^@\s]+\/\.github\/workflows\/[^@\s]+@\S+$/, 'workflow files with their ref'),
    refs: formList(/^refs\/\S+$/, 'refs from refs/ on'),
    environments: textList,
    events: textList,
    runners: textList,
  })
}

/** @throws {@link AimsError} `attestation.not_allowed` */
export function appraiseGithub({ claims }: Authenticated<GithubClaims>, policy: GithubPolicy): readonly string[] {
  requireAllowed([
    [policy.owners, claims.ownerId, 'owner'],
    [policy.repositories, claims.repositoryId, 'repository'],
    [policy.workflows, claims.jobWorkflowRef, 'workflow'],
    [policy.refs, claims.ref, 'ref'],
    [policy.environments, claims.environment, 'environment'],
    [policy.events, claims.eventName, 'event'],
    [policy.runners, claims.runnerEnvironment, 'kind of runner'],
  ])
  if (policy.events === undefined && !INSIDERS.has(claims.eventName)) {
    throw new AimsError(
      'attestation.not_allowed',
      'the job was started by an event that somebody without write access may have caused',
    )
  }
  const isNamed = policy.owners !== undefined || policy.repositories !== undefined
  return isNamed ? [] : ['the policy names no owner and no repository: any job on GitHub passes']
}
