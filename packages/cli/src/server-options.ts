import { resolve } from 'node:path'
import { type ApiClient, apiClient, isJsonObject, type JsonObject } from 'aims/base'
import { type AdminClient, adminClient, type ConfigSources, type Configuration, loadConfig } from 'aims-server'
import type { Command } from 'commander'
import { findDevFile } from './dev-directory.ts'
import { FailedError } from './exit.ts'
import { withExamples } from './help.ts'

/** How a command finds the server. */
export interface ServerOptions {
  readonly socket?: string
  readonly config?: string
  readonly json?: true
}

/** Adds the options of commands that speak to the server, and examples to the help. */
export function serverOptions(command: Command, ...examples: readonly string[]): Command {
  const complete = command
    .option(
      '--socket <path>',
      "the server's API socket; default AIMS_API_SOCKET, the configuration, or that of aims dev",
    )
    .option('--config <file>', 'configuration file, to find the socket')
    .option('--json', 'print one JSON object and nothing else')
  return withExamples(complete, ...examples)
}

/** A client of the server these options mean. Close it. */
export async function connect(options: ServerOptions): Promise<ApiClient> {
  return apiClient({ socketPath: await socketOf(options) })
}

/** Asks the server and returns its JSON object. */
export async function ask(options: ServerOptions, request: Parameters<ApiClient['send']>[0]): Promise<JsonObject> {
  const client = await connect(options)
  try {
    const answer = await client.send(request)
    if (answer === undefined) return Object.create(null)
    if (!isJsonObject(answer))
      throw new FailedError('operation.invalid_response', 'the server did not answer with an object')
    return answer
  } finally {
    client.close()
  }
}

/** Runs work with a client for operators, and closes it. */
export async function administer<T>(options: ServerOptions, work: (admin: AdminClient) => Promise<T>): Promise<T> {
  const client = await connect(options)
  try {
    return await work(adminClient(client))
  } finally {
    client.close()
  }
}

async function socketOf({ socket, config }: ServerOptions): Promise<string> {
  const named = socket ?? process.env.AIMS_API_SOCKET
  if (named !== undefined) return resolve(named)
  if (config !== undefined) return (await configOf({ config }))['api.socket']
  const development = findDevFile('api.sock')
  return development === undefined ? '/var/lib/aims/api.sock' : resolve(development)
}

/** The configuration from a file, the environment, and what the command line says. */
export function configOf(
  options: { readonly config?: string },
  overrides: ConfigSources['overrides'] = {},
): Promise<Configuration> {
  return loadConfig({
    env: process.env,
    overrides,
    ...(options.config === undefined ? {} : { file: options.config }),
  })
}
