/** What to change on the command line, by the code of a refusal that a missing or wrong option can cause. */
const HINTS: { readonly [code: string]: string } = {
  'credential.malformed': 'the file holds the token alone: no field name, no scheme, no blanks, one line',
  'proof.malformed': 'the file holds the token alone: no field name, no scheme, no blanks, one line',
  'credential.wrong_type': 'another kind of token, or of another profile: see --profile',
  'proof.wrong_type': 'another kind of token, or of another profile: see --profile',
  'authentication.profile_disabled': 'the message has the shape of another profile: see --profile',
  'authentication.mixed_profiles': 'the tokens are of two profiles, and --profile can name only one',
  'credential.wrong_trust_domain': '--trust-domain is not the trust domain of the subject',
  'x509.wrong_trust_domain': '--trust-domain is not the trust domain of the certificate',
  'credential.untrusted_domain': 'for wimse:// subjects give --trust-domain as wimse://NAME, or as the name alone',
  'x509.untrusted_domain': 'the bundle has no certificates of CAs, or --trust-domain names another scheme',
  'x509.invalid_identifier': 'wimse:// identifiers need --mode wic',
  'x509.missing_key_usage': 'a Workload Identity Certificate that is no X.509-SVID needs --mode wic',
  'credential.unknown_key': 'the bundle has no key with the kid of the token, for this kind of token',
  'credential.missing_kid': 'the token names no kid: pass a bundle with the one key that may have signed it',
  'credential.invalid_signature': 'signed by another key, or by another alg than that of the key in the bundle',
  'credential.issuer_mismatch': '--issuer is compared with iss byte for byte',
  'credential.audience_mismatch': 'our own audience is compared with aud byte for byte: see --audience, --wit-audience',
  'credential.unresolved_confirmation': '--confirmation-keys takes a JWK Set that has a key with the kid of cnf',
  'credential.issued_in_future': '--now is before iat: see --clock-skew',
  'credential.not_yet_valid': '--now is before nbf: see --clock-skew',
  'proof.audience_mismatch': '--audience takes our own URI with its path, or the origin alone',
  'proof.access_token_mismatch': "the access token is given by --header 'Authorization: Bearer ...'",
  'proof.txn_token_mismatch': "the Txn-Token is given by --header 'Txn-Token: ...'",
  'proof.other_token_mismatch': "every token that oth names, and no other, is given by --header 'Name: value'",
  'proof.body_mismatch': 'the body is every byte after the empty line up to Content-Length, a final line end included',
  'signature.digest_mismatch': 'the body is every byte after the empty line, a final line end included',
  'signature.audience_mismatch': '--audience takes our own URI with its path, or the origin alone',
  'signature.not_yet_valid': '--now is before created: see --clock-skew',
  'signature.response_unsigned': 'the file of --response has no signature with the tag of WIMSE',
  'bundle.private_key': 'a bundle is public: leave out d and the other private members',
  'bundle.missing_keys': 'not a SPIFFE bundle, bundle map, JWK Set or JWK',
  'bundle.wrong_trust_domain': 'the names in the map are compared with --trust-domain byte for byte',
  'http.malformed':
    'the file holds one HTTP/1.1 message: request or status line, fields on one line each, an empty line, the body',
}

/** What to change on the command line, if that may be it. */
export function hintFor(code: string): string | undefined {
  return Object.hasOwn(HINTS, code) ? HINTS[code] : undefined
}
