import type { Check } from '../../base/check.ts'
import { factsOf, type RefusalFacts, type Refused, type Step, textOf } from './facts.ts'
import { CERTIFICATE_METHOD_STEP, CERTIFICATE_STEPS, FORWARDING_STEP, holderOf, serialOf } from './steps-certificate.ts'
import {
  callerOf,
  DOWNGRADE_STEP,
  onceStep,
  PROFILE_OF_CALLER_STEP,
  PROFILE_STEP,
  peerStep,
  revocationStep,
  tokenIdOf,
} from './steps-common.ts'
import { credentialSteps } from './steps-credential.ts'
import { PROOF_STEPS } from './steps-proof.ts'
import { REQUEST_STEPS } from './steps-request.ts'
import { nonceOf, SIGNATURE_STEPS } from './steps-signature.ts'
import { walk } from './walk.ts'

/** What names of the request a method cannot give: `requireBinding` refuses it as a whole. */
const NAMES_NOTHING: Step = {
  check: 'request.binding',
  codes: ['proof.binding_missing'],
  tell: ({ binding }) => ({
    expected: Object.entries(binding)
      .flatMap(([name, isRequired]) => (isRequired === true ? [name] : []))
      .join(', '),
    observed: 'nothing of the request is named',
  }),
}

const AUDIENCE_OF_TOKEN: Step = {
  check: 'token.audience',
  codes: ['credential.audience_mismatch'],
  tell: ({ credential, options: { jwtAudience, audiences } }) => ({
    expected: jwtAudience ?? audiences[0] ?? '',
    observed: audiencesIn(credential?.claims.aud),
  }),
}

const WIT_STEPS = [PROFILE_STEP, ...credentialSteps('wit', 'witAuthorities'), PROFILE_OF_CALLER_STEP]

/** All checks of a method, in the order in which its judge makes them. */
const METHOD_STEPS: { readonly [method in 'proof' | 'signature' | 'bearer' | 'certificate']: readonly Step[] } = {
  proof: [
    ...WIT_STEPS,
    ...PROOF_STEPS,
    DOWNGRADE_STEP,
    onceStep('proof.once', 'proof.replayed', ({ proof }) => `jti ${textOf(proof?.claims.jti)}`),
    revocationStep(tokenIdOf),
    peerStep(callerOf),
  ],
  signature: [
    ...WIT_STEPS,
    ...SIGNATURE_STEPS,
    DOWNGRADE_STEP,
    onceStep('signature.once', 'signature.replayed', nonceOf),
    revocationStep(tokenIdOf),
    peerStep(callerOf),
  ],
  bearer: [
    NAMES_NOTHING,
    ...credentialSteps('token', 'jwtAuthorities'),
    AUDIENCE_OF_TOKEN,
    revocationStep(tokenIdOf),
    peerStep(callerOf),
  ],
  certificate: [
    ...CERTIFICATE_STEPS,
    revocationStep(serialOf),
    CERTIFICATE_METHOD_STEP,
    FORWARDING_STEP,
    NAMES_NOTHING,
    peerStep(holderOf),
  ],
}

/** The same for the certificate of a TLS client, where no request has come yet. */
const CONNECTION_STEPS: readonly Step[] = [
  {
    check: 'connection.certificate',
    codes: ['authentication.no_client_certificate', 'authentication.resumed_session'],
    tell: ({ request: { peerCertificates: chain = [] } }) => ({
      expected: 'a certificate of the client, in a fresh handshake',
      observed: chain.length === 0 ? 'no certificate' : `${chain.length} certificates`,
    }),
  },
  ...CERTIFICATE_STEPS,
  peerStep(holderOf),
  revocationStep(serialOf),
]

/**
 * The checks behind a refusal, in their order, the last of them failed. Made only when a request was refused: it costs
 * one that is accepted nothing. What it says of a caller is what the caller says, but for the checks that passed.
 */
export function trailOf(refused: Refused): readonly Check[] {
  const facts = factsOf(refused)
  return walk([...REQUEST_STEPS, ...METHOD_STEPS[methodOf(facts)]], facts)
}

/** As {@link trailOf}, for a TLS client. */
export function connectionTrailOf(refused: Refused): readonly Check[] {
  return walk(CONNECTION_STEPS, factsOf(refused))
}

function methodOf({ carried, accepted, request }: RefusalFacts): keyof typeof METHOD_STEPS {
  if (carried?.kind === 'signature' && accepted.includes('http-signature')) return 'signature'
  if (carried?.kind === 'proof' && accepted.includes('wit+wpt')) return 'proof'
  const hasCertificate = (request.peerCertificates?.length ?? 0) > 0
  if (hasCertificate && (accepted.includes('mtls') || accepted.includes('forwarded'))) return 'certificate'
  return carried?.kind === 'bearer' ? 'bearer' : 'proof'
}

function audiencesIn(aud: unknown): string {
  return Array.isArray(aud) ? aud.map(textOf).join(' or ') : textOf(aud)
}
