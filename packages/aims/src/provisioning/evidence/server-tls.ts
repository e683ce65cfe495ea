import type { ConnectionOptions } from 'node:tls'
import type { Clock } from '../../base/clock.ts'
import { AimsError } from '../../base/errors.ts'
import { encodePem } from '../../base/pem.ts'
import { presentedChain } from '../../base/tls-chain.ts'
import type { TrustBundle } from '../../credentials/bundle/bundle.ts'
import { bundleSource } from '../../credentials/bundle/source.ts'
import type { X509Svid } from '../../credentials/x509-svid/source.ts'
import { verifyX509Svid } from '../../credentials/x509-svid/verify.ts'
import type { SpiffeId } from '../../identifiers/spiffe-id.ts'

/** Reads `https://HOST:PORT`, with nothing behind it. @throws {@link AimsError} `provisioning.invalid_endpoint` */
export function parseServerAddress(address: string): { readonly host: string; readonly port: number } {
  const url = URL.canParse(address) ? new URL(address) : undefined
  const isPlain =
    url !== undefined &&
    url.protocol === 'https:' &&
    url.username === '' &&
    url.password === '' &&
    url.pathname === '/' &&
    url.search === '' &&
    url.hash === ''
  if (!isPlain) throw new AimsError('provisioning.invalid_endpoint', 'the server is written https://HOST:PORT')
  return { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: url.port === '' ? 443 : Number(url.port) }
}

/** Shows this SVID, if there is one. */
export function clientCertificate(svid: X509Svid | undefined): ConnectionOptions {
  if (svid === undefined) return {}
  // Node takes private keys as text only; it stays in this process.
  const key = svid.key.tlsKey.export({ type: 'pkcs8', format: 'pem' })
  return { cert: svid.certificates.map((der) => encodePem('CERTIFICATE', der)).join(''), key }
}

/** TLS 1.3 with the server that shows the X.509-SVID `serverId` under an authority of the bundle, and with nobody else. */
export function serverTlsOptions(bundle: TrustBundle, serverId: SpiffeId, clock: Clock): ConnectionOptions {
  const { trustDomain } = bundle
  return {
    ca: bundle.x509Authorities.map((der) => encodePem('CERTIFICATE', der)),
    // An authority of a bundle is trusted as it is, also when it is not a root.
    allowPartialTrustChain: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
    session: undefined,
    // The identifier decides, not a host name: OpenSSL has checked the path, and our verifier does again, strictly.
    checkServerIdentity: (_host, certificate) => {
      try {
        const bundles = bundleSource(bundle)
        const { subject } = verifyX509Svid(presentedChain(certificate), { bundles, trustDomain, now: clock() })
        if (subject === serverId) return undefined
        return new AimsError('provisioning.server_untrusted', 'the other side is authentic and not the identity server')
      } catch (cause) {
        return unverified(cause)
      }
    },
  }
}

// What OpenSSL says when a path does not lead to an authority, or is not valid now.
const PATH_ERRORS =
  /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|INVALID_|PATH_LENGTH_|ERR_TLS_CERT|HOSTNAME_MISMATCH|ERR_SSL_)/

/** What a connection that failed says about the certificate of the server, if that was the reason. */
export function untrustedBy(cause: unknown): AimsError | undefined {
  if (AimsError.is(cause)) return cause.code === 'provisioning.server_untrusted' ? cause : undefined
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  return PATH_ERRORS.test(code) ? unverified(cause) : undefined
}

function unverified(cause: unknown): AimsError {
  const why = 'the bundle here is old or of another trust domain, or the clocks are apart'
  return new AimsError('provisioning.server_untrusted', `the certificate of the server does not verify: ${why}`, {
    cause,
  })
}
