/** The demo's policy: what the calendar bot may do, and one thing that nobody may. */
export const DEMO_POLICY = `// The calendar bot may read and add events. Deleting is not mentioned, so it is denied.
@id("calendar-bot-adds-events")
permit (
  principal == Agent::"spiffe://example.com/agent/calendar-bot",
  action in [Action::"GET", Action::"POST"],
  resource == Service::"spiffe://example.com/service/events-api"
)
when { context.path like "/api/v1/events*" };

@id("legacy-bot-adds-events")
permit (
  principal == Agent::"spiffe://example.com/agent/legacy-bot",
  action in [Action::"GET", Action::"POST"],
  resource == Service::"spiffe://example.com/service/events-api"
)
when { context.path like "/api/v1/events*" };

// Whatever another policy permits: administration only by callers whose whole connection is authenticated.
@id("no-admin-without-mtls")
forbid (principal, action in [Action::"read", Action::"write"], resource)
when { context.path like "/api/v1/admin*" && principal.method != "mtls" };
`
