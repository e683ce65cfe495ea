/** Why a request of MCP or A2A, or a card of A2A, is refused, and what to do about it. */
export const PROTOCOL_CODES = {
  'mcp.unauthenticated': 'nobody has proved who sends this message: put protectMcp in front of the server',
  'mcp.denied': 'policies do not permit this caller this tool, method or argument: aims explain ID says why',
  'mcp.undecided': 'the decision could not be made or recorded, so the call was refused: try again later',
  'mcp.host_refused': 'the request is for another host name: name all that the server is reached by in hosts',
  'mcp.origin_refused': 'the request comes from a web page that is not in origins: browsers are refused by default',
  'mcp.session_unknown': 'this session is not one that the caller has opened: initialize again',
  'mcp.credential_argument':
    'an argument has the name or the form of a credential: prove the identity by the transport, never by an argument',
} as const
