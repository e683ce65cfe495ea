import type { ApiClient } from '../base/api-client.ts'
import type { Observer } from '../base/event.ts'

/**
 * An observer that reports to an AIMS server. Its promise resolves when the server has the record on disk; it rejects
 * when that is not known, and then what was about to happen must not happen.
 *
 * The server notes who reported: the kernel's word on a Unix socket, the client certificate over HTTPS. It takes events
 * of the areas `authentication`, `authorization`, `agent` and `service`, from node agents `attestation` too.
 *
 * @throws {@link AimsError} from `record`: `operation.server_unreachable`, `operation.server_timeout`,
 *   `operation.not_permitted`, `audit.*`
 */
export function remoteObserver(server: ApiClient): Observer {
  return {
    async record(event) {
      await server.send({ method: 'POST', path: '/v1/audit/events', body: event })
    },
  }
}
