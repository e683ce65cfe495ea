import { type Caller, callerOf as callerOfRequest, rememberCaller } from '../admit.ts'

/** A caller in the words of the official A2A SDK. The tasks of a user are those of its name. */
export interface A2aUser {
  readonly isAuthenticated: true
  /** The caller's identifier. */
  readonly userName: string
}

/**
 * The user builder of a server: `jsonRpcHandler({ requestHandler, userBuilder })`, behind `authenticated` of `aims/express`.
 * Each caller has tasks of its own.
 *
 * @throws TypeError for a request that nobody has authenticated: there are no anonymous users
 */
export async function userBuilder(request: object): Promise<A2aUser> {
  const caller = callerOfRequest(request)
  const user: A2aUser = Object.freeze({ isAuthenticated: true, userName: caller.principal.id })
  rememberCaller(user, caller)
  return user
}

/** Who calls, in an executor (`callerOf(requestContext.context)`). @throws TypeError where `userBuilder` was forgotten */
export function callerOf({ user }: { readonly user?: object | undefined }): Caller {
  return callerOfRequest(user ?? {})
}
