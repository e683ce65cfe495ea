// Keys as the bytes and texts that would give them away.
import type { WorkloadKey } from 'aims/base'
import type { Credential } from './scanner.ts'

/** The private key in its forms: the number itself, as a member of a JWK, DER, and the lines of PEM. */
export function credentialsOfKey(name: string, key: WorkloadKey): readonly Credential[] {
  const { d = '' } = key.tlsKey.export({ format: 'jwk' })
  const der = key.tlsKey.export({ type: 'pkcs8', format: 'der' })
  const pem = key.tlsKey.export({ type: 'pkcs8', format: 'pem' }).toString().split('\n').slice(1, -2)
  // What comes before the number is the same in all keys of a kind.
  const own = der.subarray(der.indexOf(Buffer.from(d, 'base64url')))
  return [
    { name: `${name} (number)`, bytes: Buffer.from(d, 'base64url') },
    { name: `${name} (d of the JWK)`, bytes: Buffer.from(d, 'latin1') },
    { name: `${name} (DER)`, bytes: own.subarray(0, 32) },
    // The first line begins as in all keys of a kind.
    ...pem.slice(1, 2).map((line) => ({ name: `${name} (PEM)`, bytes: Buffer.from(line, 'latin1') })),
  ]
}
