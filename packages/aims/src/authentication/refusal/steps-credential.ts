import { timeText } from '../../base/check.ts'
import { schemeOf, trustDomainOf, type WorkloadId } from '../../identifiers/spiffe-id.ts'
import { parseWimseId } from '../../identifiers/wimse-id.ts'
import { isLateBody } from '../late-body.ts'
import { attempt, type RefusalFacts, type Step, textOf } from './facts.ts'

/** Which keys of a bundle a credential is signed with. */
type Authorities = 'witAuthorities' | 'jwtAuthorities'

/** The checks of a token that names its holder: `wit` or `token`, in the order in which they are made. */
export function credentialSteps(name: 'wit' | 'token', authorities: Authorities): readonly Step[] {
  return [
    {
      check: `${name}.form`,
      codes: [
        'credential.malformed',
        'credential.too_large',
        'credential.wrong_type',
        'credential.unsupported_alg',
        'credential.forbidden_header',
      ],
      tell: ({ credential }) => ({ observed: `typ ${textOf(credential?.typ)}, alg ${textOf(credential?.alg)}` }),
    },
    {
      check: `${name}.subject`,
      codes: ['credential.invalid_subject', 'credential.missing_claim', 'credential.wrong_trust_domain'],
      isIt: ({ error, credential }) =>
        error.code !== 'credential.missing_claim' || credential?.claims.sub === undefined,
      tell: ({ credential }) => ({ expected: 'one workload identifier', observed: textOf(credential?.claims.sub) }),
    },
    {
      check: `${name}.trust-domain`,
      codes: ['credential.untrusted_domain'],
      tell: (facts) => {
        const subject = subjectOf(facts)
        const domain = subject === undefined ? 'unknown' : `${schemeOf(subject)}://${trustDomainOf(subject)}`
        const bundle = subject === undefined ? undefined : facts.options.bundles.bundleFor(trustDomainOf(subject))
        return {
          expected: 'a trust domain whose bundle is known here',
          observed: domain,
          difference: bundle === undefined ? 'no-bundle' : 'scheme',
        }
      },
    },
    {
      check: `${name}.signing-key`,
      codes: ['credential.unknown_key', 'credential.missing_kid'],
      tell: (facts) => {
        const kids = kidsOf(facts, authorities)
        return {
          expected: kids.length === 0 ? 'none: the bundle has no such keys' : kids.map(shortKid).join(' or '),
          observed: `kid ${textOf(facts.credential?.kid)}`,
          difference: kids.length === 0 ? 'no-keys' : 'kid',
        }
      },
    },
    { check: `${name}.signature`, codes: ['credential.invalid_signature'] },
    {
      check: `${name}.claims`,
      codes: [
        'credential.missing_claim',
        'credential.invalid_claim',
        'credential.forbidden_claim',
        'credential.issuer_mismatch',
        'credential.audience_mismatch',
        'credential.missing_confirmation',
        'credential.invalid_confirmation',
        'credential.missing_confirmation_alg',
        'credential.forbidden_confirmation_alg',
        'credential.unresolved_confirmation',
        'credential.invalid_rights',
      ],
      isIt: ({ error }) => name === 'wit' || error.code !== 'credential.audience_mismatch',
      tell: ({ credential }) => ({ observed: `iss ${textOf(credential?.claims.iss)}` }),
    },
    {
      check: `${name}.times`,
      codes: [
        'credential.expired',
        'credential.not_yet_valid',
        'credential.issued_in_future',
        'credential.lifetime_too_long',
      ],
      isIt: ({ error }) => !isLateBody(error),
      tell: ({ credential, now }) => ({
        expected: `valid at ${timeText(now, now)}`,
        observed: `iat ${timeText(credential?.claims.iat, now)}; exp ${timeText(credential?.claims.exp, now)}`,
      }),
    },
  ]
}

/** Whom an unverified credential names. */
export function subjectOf({ credential }: RefusalFacts): WorkloadId | undefined {
  const sub = credential?.claims.sub
  return typeof sub === 'string' ? attempt(() => parseWimseId(sub)) : undefined
}

function kidsOf(facts: RefusalFacts, authorities: Authorities): readonly string[] {
  const subject = subjectOf(facts)
  const bundle = subject === undefined ? undefined : facts.options.bundles.bundleFor(trustDomainOf(subject))
  return bundle === undefined ? [] : [...bundle[authorities].keys()]
}

// Several thumbprints do not fit in full, and their beginnings tell them apart.
function shortKid(kid: string): string {
  return kid.length > 20 ? kid.slice(0, 16) : kid
}
