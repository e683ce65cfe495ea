import { AimsError } from './errors.ts'
import { type OutboundUrl, parseOutboundUrl } from './outbound-url.ts'

/** The host answered with a redirect. */
export class Redirected extends AimsError {
  /** As the host wrote it. Text of the other side: it goes into no message. */
  readonly location: string | undefined

  constructor(location: string | undefined) {
    super('outbound.redirected', 'the host answered with a redirect')
    this.location = location
  }
}

/**
 * Where a redirect leads: a whole https URL, or a path on the same host. Other relative references are not undone, so that
 * there is one reading.
 *
 * @throws {@link AimsError} `outbound.url_refused`, `outbound.redirected` for one that leads nowhere
 */
export function redirectTarget({ host, port }: OutboundUrl, redirected: Redirected): OutboundUrl {
  const { location } = redirected
  if (location === undefined) throw redirected
  const isPath = location.startsWith('/') && !location.startsWith('//')
  return parseOutboundUrl(isPath ? `https://${host}:${port}${location}` : location)
}
