import type { TtlRules } from 'aims/provisioning'
import type { Configuration } from './settings.ts'

/** The lifetimes of credentials. */
export function ttlRules(config: Configuration): TtlRules {
  const rule = (kind: 'x509' | 'jwt' | 'wit') => ({
    default: config[`ttl.${kind}.default`],
    max: config[`ttl.${kind}.max`],
  })
  return { x509: rule('x509'), jwt: rule('jwt'), wit: rule('wit') }
}

/** Names that `Host` may have on the HTTPS listener. */
export function allowedHosts(config: Configuration): ReadonlySet<string> {
  const host = config['listen.host']
  return new Set([
    host.includes(':') ? `[${host}]` : host,
    ...config['listen.dnsNames'],
    ...config['listen.allowedHosts'],
  ])
}
