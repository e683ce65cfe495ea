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
  'a2a.denied': 'policies do not permit this caller this operation: aims explain ID says why',
  'a2a.undecided': 'the decision could not be made or recorded, so the operation was refused: try again later',
  'a2a.card_malformed': 'the card or one of its signatures is not as A2A 1.0 says, in strict JSON',
  'a2a.card_unsigned': 'the card has no signature: ask the agent itself, or have it signed with signAgentCard',
  'a2a.card_unbound': 'the card does not say once, by its identity extension, whose SPIFFE ID it belongs to',
  'a2a.card_mismatch': 'the card belongs to another agent than the one that signed or served it',
  'a2a.card_unavailable': 'the agent did not answer with its card',
  'a2a.unknown_key': 'no signature of the card is by a key that is known for this agent',
  'a2a.jku_refused': 'the card names keys at a URL that was not given for this agent: it is never fetched',
  'a2a.invalid_signature': 'the card was changed after it was signed, or signed with another key',
} as const
