const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/**
 * True for https. Proofs and WITs go over TLS only, except within this machine or when the caller asks for it by name.
 *
 * @throws TypeError for other schemes, and plain http to another machine
 * @see draft-ietf-wimse-workload-creds-02, on TLS
 */
export function requireSecure(protocol: string, hostname: string, acceptPlaintext: true | undefined): boolean {
  if (protocol === 'https:') return true
  if (protocol === 'http:' && (LOOPBACK.test(hostname) || acceptPlaintext === true)) return false
  throw new TypeError('proofs are sent over https')
}
