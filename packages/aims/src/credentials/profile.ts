/**
 * A generation of the WIMSE drafts. Caller and callee must share it; there is no negotiation and no fall-through.
 *
 * - `wimse`: workload-creds-02/-03, wpt-02. The default, and the only one that is on unless configured.
 * - `wimse-wpt-01`: s2s-07, creds-00/-01, wpt-00/-01 (proof in `Workload-Proof-Token`).
 * - `s2s-03-compat`: s2s-03 to s2s-06 (older `typ` values).
 * - `aims-00`: the shapes of the AIMS overview page (draft-klrc-aiagent-auth-00).
 */
export type Profile = 'wimse' | 'wimse-wpt-01' | 's2s-03-compat' | 'aims-00'

/** All profiles, strongest first. */
export const PROFILES: readonly Profile[] = ['wimse', 'wimse-wpt-01', 's2s-03-compat', 'aims-00']
