import { AimsError } from '../../base/errors.ts'
import { idClaim, optionalTextClaim, textClaim } from '../token/claims.ts'
import type { PlatformToken } from '../token/platform-token.ts'

/** The job that GitHub vouches for. */
export interface GithubClaims {
  /** `owner/name`: changes hands when a repository is renamed or its owner gives up the name. */
  readonly repository: string
  /** Never given to another repository. */
  readonly repositoryId: string
  readonly owner: string
  readonly ownerId: string
  readonly eventName: string
  readonly runId: string
  /** The workflow file that runs, e.g. `octo/bots/.github/workflows/deploy.yml@refs/heads/main`. */
  readonly jobWorkflowRef: string
  readonly ref?: string
  readonly sha?: string
  readonly environment?: string
  readonly runnerEnvironment?: string
  readonly actor?: string
}

/**
 * Reads the claims of a verified token. A token without `jti` is refused: it could be shown again and again.
 *
 * @throws {@link AimsError} `attestation.malformed`, `attestation.inconsistent`
 */
export function githubClaims({ claims }: PlatformToken): GithubClaims {
  textClaim(claims, 'jti')
  const repository = textClaim(claims, 'repository')
  const owner = textClaim(claims, 'repository_owner')
  if (!repository.startsWith(`${owner}/`)) {
    throw new AimsError('attestation.inconsistent', 'the repository is not one of its owner')
  }
  return {
    repository,
    repositoryId: idClaim(claims, 'repository_id'),
    owner,
    ownerId: idClaim(claims, 'repository_owner_id'),
    eventName: textClaim(claims, 'event_name'),
    runId: idClaim(claims, 'run_id'),
    jobWorkflowRef: textClaim(claims, 'job_workflow_ref'),
    ...known('ref', optionalTextClaim(claims, 'ref')),
    ...known('sha', optionalTextClaim(claims, 'sha')),
    ...known('environment', optionalTextClaim(claims, 'environment')),
    ...known('runnerEnvironment', optionalTextClaim(claims, 'runner_environment')),
    ...known('actor', optionalTextClaim(claims, 'actor')),
  }
}

function known<Name extends string>(name: Name, value: string | undefined): { readonly [N in Name]?: string } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [N in Name]: string })
}
