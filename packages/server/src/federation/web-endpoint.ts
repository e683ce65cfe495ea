import { readFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { AimsError } from 'aims/base'
import type { Configuration } from '../config/settings.ts'
import { listenOn } from '../http/https-listener.ts'
import { HTTP_OPTIONS, harden } from '../http/server-options.ts'
import { readSecretFile } from '../secret-file.ts'

/** The bundle endpoint with a certificate of the web. */
export interface WebEndpoint {
  readonly server: Server
  readonly port: number
  /** Takes certificate and key again when their files changed. Files that do not belong together are left for the next time. */
  reload(): Promise<void>
}

/** Mozilla, intermediate: what SPIFFE Federation asks of endpoints. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')
const TLS = { minVersion: 'TLSv1.2', ciphers: CIPHERS } as const

/**
 * Listens with the operator's certificate, where the configuration says so. Clients are asked for none.
 *
 * @throws {@link AimsError} `operation.config_invalid` for files that cannot be used, `operation.key_file_mode` for a key that
 *   others can read, `operation.port_busy`
 * @see SPIFFE Federation, section "Web PKI (https_web)"
 */
export async function openWebEndpoint(
  config: Configuration,
  handler: RequestListener,
): Promise<WebEndpoint | undefined> {
  const port = config['bundle.web.port']
  if (port === undefined) return undefined
  let material = await readMaterial(config)
  const server = createTlsServer(material, handler)
  harden(server)
  await listenOn(server, { host: config['bundle.web.host'], port })
  return {
    server,
    port: (server.address() as AddressInfo).port,
    async reload() {
      const next = await readMaterial(config)
      if (next.cert === material.cert && next.key === material.key) return
      server.setSecureContext({ ...TLS, ...next })
      material = next
    },
  }
}

interface Material {
  readonly cert: string
  readonly key: string
}

function createTlsServer(material: Material, handler: RequestListener): Server {
  try {
    return createServer({ ...HTTP_OPTIONS, ...TLS, ...material, handshakeTimeout: 10_000 }, handler)
  } catch (cause) {
    throw new AimsError('operation.config_invalid', '"bundle.web.certificateFile": not the certificate of that key', {
      cause,
    })
  }
}

async function readMaterial(config: Configuration): Promise<Material> {
  const secret = { name: '"bundle.web.keyFile"', unreadable: 'operation.config_invalid' } as const
  const [cert, key] = await Promise.all([
    readFile(config['bundle.web.certificateFile'] ?? '', 'latin1').catch((cause: unknown) => {
      throw new AimsError('operation.config_invalid', '"bundle.web.certificateFile": cannot be read', { cause })
    }),
    readSecretFile(config['bundle.web.keyFile'] ?? '', secret),
  ])
  return { cert, key: key.toString('latin1') }
}
