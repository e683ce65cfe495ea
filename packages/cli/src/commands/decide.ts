import { AUTHENTICATION_METHODS, type AuthenticationMethod, assumePrincipal, type Principal } from 'aims/authentication'
import { authorize, createCedarEngine, httpAction, serviceResource, toolCall } from 'aims/authorization'
import { AimsError } from 'aims/base'
import { PROFILES, type Profile } from 'aims/credentials'
import { parseWorkloadSpiffeId, type WorkloadId } from 'aims/identifiers'
import { loadPolicyDirectory } from 'aims/policy'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../exit.ts'
import { print } from '../output.ts'

interface Options {
  readonly policies: string
  readonly agent: string
  readonly service: string
  readonly method?: string
  readonly path?: string
  readonly tool?: string
  readonly authenticatedBy: string
  readonly profile: string
  readonly json?: true
}

/** `aims decide`: what a policy set would say, for an agent assumed to be authenticated. Nothing is recorded. */
export function define(command: Command): void {
  command
    .requiredOption('--policies <directory>', 'the policy set')
    .requiredOption('--agent <spiffe-id>', 'who calls; assumed to be authenticated')
    .requiredOption('--service <spiffe-id>', 'what is called')
    .option('--method <name>', 'HTTP method', 'GET')
    .option('--path <path>', 'path of the request')
    .option('--tool <name>', 'an MCP tool of the service instead of a method and path')
    .option('--authenticated-by <method>', AUTHENTICATION_METHODS.join(', '), 'wit+wpt')
    .option('--profile <name>', PROFILES.join(', '), 'wimse')
    .option('--json', 'print one JSON object and nothing else')
    .addHelpText(
      'after',
      '\nExample:\n  $ aims decide --policies ./policies --agent spiffe://example.com/agent/calendar-bot \\\n      --service spiffe://example.com/service/events-api --method POST --path /api/v1/events',
    )
    .action(async (options: Options) => {
      const engine = await createCedarEngine(await loadPolicyDirectory(options.policies))
      const decision = authorize({ principal: assumedPrincipal(options), ...access(options) }, engine)
      const { effect, ...rest } = decision
      if (effect === 'deny') process.exitCode = EXIT.negative
      print({ ok: effect === 'allow', decision: effect, ...rest }, options.json === true)
    })
}

function access(
  options: Options,
): ReturnType<typeof toolCall> | Pick<Parameters<typeof authorize>[0], 'action' | 'resource'> {
  const service = readId('--service', options.service)
  if (options.tool !== undefined) return toolCall(service, options.tool)
  if (options.path === undefined) throw new UsageError('give --path, or --tool')
  return { action: httpAction(options.method ?? 'GET', options.path), resource: serviceResource(service) }
}

function readId(option: string, text: string): WorkloadId {
  try {
    return parseWorkloadSpiffeId(text)
  } catch (error) {
    if (!AimsError.is(error)) throw error
    throw new UsageError(
      `${option} takes a SPIFFE ID such as spiffe://example.com/agent/calendar-bot: ${error.message}`,
    )
  }
}

function assumedPrincipal(options: Options): Principal {
  const id = readId('--agent', options.agent)
  const method = AUTHENTICATION_METHODS.find((name) => name === options.authenticatedBy)
  const profile = PROFILES.find((name): name is Profile => name === options.profile)
  if (method === undefined) throw new UsageError(`--authenticated-by takes one of ${AUTHENTICATION_METHODS.join(', ')}`)
  if (profile === undefined) throw new UsageError(`--profile takes one of ${PROFILES.join(', ')}`)
  const all = method !== 'jwt-svid' && method !== 'forwarded'
  return assumePrincipal({
    id,
    method,
    ...(method === 'wit+wpt' || method === 'http-signature' ? { profile } : {}),
    credential: { type: CREDENTIALS[method], id: 'assumed' },
    covers: { method: all, target: all, body: all },
    expiresAt: Number.MAX_SAFE_INTEGER,
  })
}

const CREDENTIALS: { readonly [method in AuthenticationMethod]: string } = {
  'http-signature': 'wit',
  'wit+wpt': 'wit',
  mtls: 'x509-svid',
  forwarded: 'x509-svid',
  'jwt-svid': 'jwt-svid',
}
