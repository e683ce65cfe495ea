import { asBuffer } from './bytes.ts'
import { encodeOid } from './der-writer.ts'
import { AimsError } from './errors.ts'
import type { Certificate } from './x509-certificate.ts'
import { mayBeWithin } from './x509-name-overlap.ts'
import { type GeneralNames, rdnsOf } from './x509-names.ts'

type Constraints = NonNullable<Certificate['extensions']['nameConstraints']>

/** More comparisons than any honest path needs; beyond them an attacker buys time with names. */
const MAX_COMPARISONS = 4096
const EMAIL_ADDRESS_OID = encodeOid('1.2.840.113549.1.9.1')

/** How one kind of name is compared with one constraint. Throws for a constraint that makes no sense. */
interface Kind<Name> {
  readonly constraint: (constraint: Name) => boolean
  readonly matches: (name: Name, constraint: Name) => boolean
  /** When a name is excluded by less than a match. */
  readonly overlaps?: (name: Name, constraint: Name) => boolean
}

/**
 * Checks the names of every certificate of a path against the name constraints of the CAs above it. Kinds that are
 * understood: URI, DNS, email, IP address, directory name. A constraint of any other kind refuses every path.
 *
 * @param path - Leaf first, anchor last; all signatures checked.
 * @throws {@link AimsError} `x509.name_constraints`
 * @see RFC 5280 sections 4.2.1.10 and 6.1.3
 */
export function checkNameConstraints(path: readonly Certificate[]): void {
  let comparisons = 0
  for (const [index, ca] of path.entries()) {
    const constraints = ca.extensions.nameConstraints
    if (constraints === undefined) continue
    checkForm(constraints)
    for (const [below, certificate] of path.slice(0, index).entries()) {
      // Self-issued CAs are key rollovers: only in leaf position are their names constrained.
      if (below > 0 && certificate.isSelfIssued) continue
      const names = withSubject(certificate)
      comparisons += weigh(names) * (weigh(constraints.permitted) + weigh(constraints.excluded))
      if (comparisons > MAX_COMPARISONS) throw refused('too many names and constraints')
      checkNames(names, constraints)
      checkSubjectEmail(certificate, constraints)
    }
  }
}

function checkForm({ permitted, excluded }: Constraints): void {
  for (const names of [permitted, excluded]) {
    if (names === undefined) continue
    const understood =
      names.otherKinds.length === 0 &&
      names.uris.every(URI.constraint) &&
      names.dnsNames.every(DNS.constraint) &&
      names.emails.every(EMAIL.constraint) &&
      names.ipAddresses.every(IP.constraint)
    if (!understood) throw refused('a name constraint is malformed or of a kind that is not processed')
  }
}

function checkNames(names: GeneralNames, { permitted, excluded }: Constraints): void {
  checkKind(URI, names.uris, permitted?.uris, excluded?.uris)
  checkKind(DNS, names.dnsNames, permitted?.dnsNames, excluded?.dnsNames)
  checkKind(EMAIL, names.emails, permitted?.emails, excluded?.emails)
  checkKind(IP, names.ipAddresses, permitted?.ipAddresses, excluded?.ipAddresses)
  checkKind(DIRECTORY, names.directoryNames, permitted?.directoryNames, excluded?.directoryNames)
}

// A kind that no permitted subtree mentions is unrestricted.
function checkKind<Name>(
  { matches, overlaps = matches }: Kind<Name>,
  names: readonly Name[],
  permitted: readonly Name[] = [],
  excluded: readonly Name[] = [],
): void {
  for (const name of names) {
    if (permitted.length > 0 && !permitted.some((constraint) => matches(name, constraint))) {
      throw refused('a name is outside what its CA may certify')
    }
    if (excluded.some((constraint) => overlaps(name, constraint))) throw refused('a name is excluded by its CA')
  }
}

const HOST_CONSTRAINT = /^(?:[A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+$/

/** URI: the host, exactly; or with a leading dot, any host below it. */
const URI: Kind<string> = {
  constraint: (constraint) => HOST_CONSTRAINT.test(constraint.replace(/^\./, '')),
  matches: (uri, constraint) => {
    const host = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#@:[\]]+)(?::[0-9]*)?(?:[/?#]|$)/.exec(uri)?.[1]
    if (host === undefined || /^[0-9.]+$/.test(host)) throw refused('a URI without a host name is under a constraint')
    return constraint.startsWith('.') ? endsWithFold(host, constraint) : equalsFold(host, constraint)
  },
}

const isInDomain = (name: string, constraint: string): boolean =>
  constraint === '' || equalsFold(name, constraint) || endsWithFold(name, `.${constraint}`)

/** DNS: the name itself and any name below it. A wildcard is excluded when any name it may stand for is. */
const DNS: Kind<string> = {
  constraint: (constraint) => constraint === '' || HOST_CONSTRAINT.test(constraint),
  matches: isInDomain,
  overlaps: (name, constraint) =>
    isInDomain(name, constraint) || (name.startsWith('*.') && endsWithFold(constraint, name.slice(1))),
}

/** Email: one mailbox; or all of one host; or with a leading dot, all hosts below it. */
const EMAIL: Kind<string> = {
  constraint: (constraint) => {
    const at = constraint.lastIndexOf('@')
    return at === -1 ? URI.constraint(constraint) : at > 0 && HOST_CONSTRAINT.test(constraint.slice(at + 1))
  },
  matches: (email, constraint) => {
    const at = email.lastIndexOf('@')
    const host = email.slice(at + 1)
    const constraintAt = constraint.lastIndexOf('@')
    if (constraintAt !== -1) {
      const sameMailbox = email.slice(0, at) === constraint.slice(0, constraintAt)
      return sameMailbox && equalsFold(host, constraint.slice(constraintAt + 1))
    }
    return constraint.startsWith('.') ? endsWithFold(host, constraint) : equalsFold(host, constraint)
  },
}

/** IP: address and mask, of the same family. */
const IP: Kind<Uint8Array> = {
  constraint: (constraint) => {
    if (constraint.length !== 8 && constraint.length !== 32) return false
    const mask = Array.from(constraint.subarray(constraint.length / 2), (byte) => byte.toString(2).padStart(8, '0'))
    return /^1*0*$/.test(mask.join(''))
  },
  matches: (address, constraint) =>
    constraint.length === 2 * address.length &&
    address.every((byte, i) => {
      const mask = constraint[address.length + i] as number
      return (byte & mask) === ((constraint[i] as number) & mask)
    }),
}

/** Directory name: the constraint is a prefix, RDN by RDN, byte for byte; excluded is also what may be the same name. */
const DIRECTORY: Kind<Uint8Array> = {
  constraint: () => true,
  matches: (name, constraint) => {
    const rdns = rdnsOf(name)
    return rdnsOf(constraint).every((rdn, i) => asBuffer(rdn).equals(rdns[i] ?? new Uint8Array()))
  },
  overlaps: mayBeWithin,
}

// RFC 5280 section 4.2.1.10: constraints on email reach the emailAddress attribute of the subject, which is not read here.
function checkSubjectEmail({ subject }: Certificate, { permitted, excluded }: Constraints): void {
  const limited = (permitted?.emails.length ?? 0) + (excluded?.emails.length ?? 0) > 0
  if (limited && asBuffer(subject).includes(asBuffer(EMAIL_ADDRESS_OID))) {
    throw refused('an email address in the subject is under a constraint')
  }
}

// The subject is a directory name too.
function withSubject(certificate: Certificate): GeneralNames {
  const { altNames, subject } = certificate
  return subject.length === 2 ? altNames : { ...altNames, directoryNames: [...altNames.directoryNames, subject] }
}

// How many names, directory names by their length: each is read again for every comparison.
function weigh(names: GeneralNames | undefined): number {
  if (names === undefined) return 0
  const { directoryNames } = names
  const count = Object.values(names).reduce((sum, list) => sum + list.length, 0)
  return count + directoryNames.reduce((sum, { length }) => sum + Math.floor(length / 16), 0)
}

function equalsFold(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}

function endsWithFold(text: string, end: string): boolean {
  return text.length > end.length && text.toLowerCase().endsWith(end.toLowerCase())
}

function refused(message: string): AimsError {
  return new AimsError('x509.name_constraints', message)
}
