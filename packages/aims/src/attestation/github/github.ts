import { AimsError } from '../../base/errors.ts'
import { checkBoundAudience } from '../binding.ts'
import type { CollateralFile, CollateralSource } from '../collateral.ts'
import type { Authenticated, EvidenceContext, EvidenceVerifier } from '../evidence.ts'
import { jwksCollateral } from '../token/collateral.ts'
import { attributesOf, selectorsOf, tokenEvidence } from '../token/evidence.ts'
import { issuerKeys } from '../token/issuer-keys.ts'
import { MAX_TOKEN, parsePlatformToken, type TokenProfile, verifyPlatformToken } from '../token/platform-token.ts'
import { type GithubClaims, githubClaims } from './claims.ts'
import { appraiseGithub, type GithubPolicy, readGithubPolicy } from './policy.ts'

/** What tokens of GitHub Actions are verified with. */
export interface GithubTrust {
  /** Has `github/jwks.json`: what the issuer publishes at `/.well-known/jwks`. */
  readonly collateral: CollateralSource
  /**
   * Exactly. Default `https://token.actions.githubusercontent.com`; an enterprise may have its slug behind that, and
   * GitHub Enterprise Server is `https://HOST/_services/token`.
   */
  readonly issuer?: string
}

const ISSUER = 'https://token.actions.githubusercontent.com'
// GitHub gives tokens five minutes from `iat`, and dates `nbf` ten minutes back.
const PROFILE: TokenProfile = { algorithms: ['RS256'], ignoredHeaders: ['x5t'], maxLifetime: 3600 }
const KEYS = 'github/jwks.json'

/**
 * Verifies the OpenID Connect token of a GitHub Actions job, asked for with the audience of a challenge. Evidence: the
 * token. The statement of the result is its `jti`: a token is good for one use.
 *
 * The audience that GitHub writes when none is asked for, the address of the owner, is refused whatever is expected: every
 * service that is sloppy about audiences holds such tokens.
 *
 * @see https://docs.github.com/en/actions/reference/security/oidc
 */
export function githubVerifier(trust: GithubTrust): EvidenceVerifier<GithubClaims, GithubPolicy> {
  return {
    type: 'github',
    maxSize: MAX_TOKEN,
    authenticate: (evidence, context) => authenticate(evidence, trust, context),
    readPolicy: readGithubPolicy,
    appraise: appraiseGithub,
  }
}

/** Makes a collateral source of loose files: JWK Sets, as GitHub publishes them. */
export function githubCollateral(files: readonly CollateralFile[]): CollateralSource {
  return jwksCollateral(/^github\/jwks\.json$/, files)
}

function authenticate(
  evidence: Uint8Array,
  { collateral, issuer = ISSUER }: GithubTrust,
  { now, expected }: EvidenceContext,
): Authenticated<GithubClaims> {
  const unverified = parsePlatformToken(evidence, PROFILE)
  const keys = issuerKeys(collateral, KEYS)
  const token = verifyPlatformToken(unverified, { issuer, keys, profile: PROFILE, now })
  const claims = githubClaims(token)
  if (isDefaultAudience(token.audience, claims)) {
    throw new AimsError('attestation.binding_mismatch', 'the token has the audience that GitHub writes by default')
  }
  return tokenEvidence(token, {
    type: 'github',
    claims,
    attested: issuer === ISSUER ? `github:${claims.repositoryId}` : `github:${issuer}:${claims.repositoryId}`,
    selectors: selectorsOf('github', {
      repository_id: claims.repositoryId,
      repository: claims.repository,
      owner_id: claims.ownerId,
      ref: claims.ref,
      environment: claims.environment,
      job_workflow_ref: claims.jobWorkflowRef,
      event_name: claims.eventName,
      runner_environment: claims.runnerEnvironment,
    }),
    attributes: attributesOf({
      repository: claims.repository,
      'repository-id': claims.repositoryId,
      'owner-id': claims.ownerId,
      'run-id': claims.runId,
      ref: claims.ref,
      sha: claims.sha,
      actor: claims.actor,
    }),
    isBound: checkBoundAudience('github', token.audience, expected),
    now,
  })
}

// https://github.com/OWNER, and the same on another host for GitHub Enterprise Server.
function isDefaultAudience(audience: string, { owner }: GithubClaims): boolean {
  const [scheme = '', empty, host = '', name = '', ...more] = audience.toLowerCase().split('/')
  const isAddress = scheme === 'https:' && empty === '' && host !== ''
  return isAddress && name === owner.toLowerCase() && more.every((part) => part === '')
}
