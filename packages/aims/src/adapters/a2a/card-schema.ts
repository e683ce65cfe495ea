/** What the protocol says of one member of a message. */
export interface Field {
  /** Stays in the canonical form also with its default value: it is required, or its presence means something. */
  readonly keep: boolean
  /** The messages in it: itself, its elements, or the values of a map. Default: text, a boolean, or free JSON. */
  readonly of?: Message
  readonly isMap?: true
}

/** The members of a message, by their JSON names. */
export interface Message {
  readonly [name: string]: Field
}

// `keep` for what is required, marked optional, or a message of its own; `drop` for text, booleans, lists and maps that are neither.
const keep: Field = { keep: true }
const drop: Field = { keep: false }

const stringList: Message = { list: drop }
const securityRequirement: Message = { schemes: { keep: false, of: stringList, isMap: true } }
const securityRequirements: Field = { keep: false, of: securityRequirement }
const scopes: Field = { keep: true, isMap: true }
const plainScopes: Field = { keep: false, isMap: true }

const oauthFlows: Message = {
  authorizationCode: {
    keep: true,
    of: { authorizationUrl: keep, tokenUrl: keep, refreshUrl: drop, scopes, pkceRequired: drop },
  },
  clientCredentials: { keep: true, of: { tokenUrl: keep, refreshUrl: drop, scopes } },
  implicit: { keep: true, of: { authorizationUrl: drop, refreshUrl: drop, scopes: plainScopes } },
  password: { keep: true, of: { tokenUrl: drop, refreshUrl: drop, scopes: plainScopes } },
  deviceCode: { keep: true, of: { deviceAuthorizationUrl: keep, tokenUrl: keep, refreshUrl: drop, scopes } },
}

const securityScheme: Message = {
  apiKeySecurityScheme: { keep: true, of: { description: drop, location: keep, name: keep } },
  httpAuthSecurityScheme: { keep: true, of: { description: drop, scheme: keep, bearerFormat: drop } },
  oauth2SecurityScheme: {
    keep: true,
    of: { description: drop, flows: { keep: true, of: oauthFlows }, oauth2MetadataUrl: drop },
  },
  openIdConnectSecurityScheme: { keep: true, of: { description: drop, openIdConnectUrl: keep } },
  mtlsSecurityScheme: { keep: true, of: { description: drop } },
}

/** An agent card of A2A 1.0. @see A2A 1.0, section "AgentCard"; a2a.proto */
export const AGENT_CARD: Message = {
  name: keep,
  description: keep,
  supportedInterfaces: {
    keep: true,
    of: { url: keep, protocolBinding: keep, tenant: drop, protocolVersion: keep },
  },
  provider: { keep: true, of: { url: keep, organization: keep } },
  version: keep,
  documentationUrl: keep,
  capabilities: {
    keep: true,
    of: {
      streaming: keep,
      pushNotifications: keep,
      extensions: { keep: false, of: { uri: drop, description: drop, required: drop, params: keep } },
      extendedAgentCard: keep,
    },
  },
  securitySchemes: { keep: false, of: securityScheme, isMap: true },
  securityRequirements,
  defaultInputModes: keep,
  defaultOutputModes: keep,
  skills: {
    keep: true,
    of: {
      id: keep,
      name: keep,
      description: keep,
      tags: keep,
      examples: drop,
      inputModes: drop,
      outputModes: drop,
      securityRequirements,
    },
  },
  iconUrl: keep,
}
