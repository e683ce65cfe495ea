import type { DatabaseSync } from 'node:sqlite'
import { openDatabase } from 'aims/base'

// "AIMS" in ASCII.
const APPLICATION_ID = 0x41494d53

/** A step of the schema, and the way back for who has to go back to the version before. */
export interface SchemaStep {
  readonly up: string
  /** Removes what `up` made. Rows in it are lost: {@link stepBack} says how many. Absent for the first step. */
  readonly down?: string
}

/**
 * Steps are only ever added at the end: stores of users have run the old ones. A step does not change rows or columns of
 * sealed tables that are there, or their seal would not fit any more.
 */
export const SCHEMA: readonly SchemaStep[] = [
  {
    up: `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE entries (
    id TEXT PRIMARY KEY, spiffe_id TEXT NOT NULL UNIQUE, body TEXT NOT NULL, mac TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE retired (
    id TEXT PRIMARY KEY, spiffe_id TEXT NOT NULL, retired_at REAL NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX retired_subjects ON retired (spiffe_id);
  CREATE TABLE keys (
    id TEXT PRIMARY KEY, purpose TEXT NOT NULL, state TEXT NOT NULL, version INTEGER NOT NULL,
    created_at REAL NOT NULL, activate_at REAL NOT NULL, expires_at REAL NOT NULL, drop_at REAL NOT NULL,
    certificate BLOB, wrapped BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE key_bindings (
    thumbprint TEXT PRIMARY KEY, subject TEXT NOT NULL, expires_at REAL NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE confirmation_keys (
    subject TEXT NOT NULL, kid TEXT NOT NULL, jwk TEXT NOT NULL, expires_at REAL NOT NULL,
    PRIMARY KEY (subject, kid)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX key_bindings_expiry ON key_bindings (expires_at);
  CREATE INDEX confirmation_keys_expiry ON confirmation_keys (expires_at);
`,
  },
  {
    up: `
  CREATE TABLE attested (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, attested TEXT NOT NULL, spiffe_id TEXT NOT NULL, thumbprint TEXT NOT NULL,
    assurance TEXT NOT NULL, revision INTEGER NOT NULL, first_seen REAL NOT NULL, last_seen REAL NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX attested_subjects ON attested (spiffe_id);
  CREATE TABLE used_statements (statement TEXT PRIMARY KEY, expires_at REAL NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX used_statements_expiry ON used_statements (expires_at);
`,
    down: 'DROP TABLE attested; DROP TABLE used_statements;',
  },
  {
    up: 'CREATE TABLE evidence_memory (id TEXT PRIMARY KEY, name TEXT NOT NULL, value TEXT NOT NULL) STRICT, WITHOUT ROWID;',
    down: 'DROP TABLE evidence_memory;',
  },
  {
    up: `
  CREATE TABLE agents (
    id TEXT PRIMARY KEY, spiffe_id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, selectors TEXT NOT NULL, state TEXT NOT NULL,
    may_reattest INTEGER NOT NULL, thumbprint TEXT NOT NULL, serial TEXT NOT NULL, next_serial TEXT,
    expires_at REAL NOT NULL, first_seen REAL NOT NULL, last_seen REAL NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE join_tokens (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX join_tokens_expiry ON join_tokens (expires_at);
`,
    down: 'DROP TABLE agents; DROP TABLE join_tokens;',
  },
  {
    up: `
  CREATE TABLE revocations (id TEXT PRIMARY KEY, body TEXT NOT NULL, expires_at REAL NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE retired_entries (id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE sub_agents (
    id TEXT PRIMARY KEY, root TEXT NOT NULL, batch TEXT NOT NULL, expires_at REAL NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX sub_agents_of_root ON sub_agents (root, expires_at);
  CREATE INDEX sub_agents_expiry ON sub_agents (expires_at);
`,
    down: 'DROP TABLE revocations; DROP TABLE retired_entries; DROP TABLE sub_agents;',
  },
  {
    up: `
  CREATE TABLE federation (
    id TEXT PRIMARY KEY, origin TEXT NOT NULL, relationship TEXT NOT NULL, bundle TEXT, fetched_at REAL
  ) STRICT, WITHOUT ROWID;
`,
    down: 'DROP TABLE federation;',
  },
  {
    up: `
  CREATE TABLE neighbours (id TEXT PRIMARY KEY, document TEXT NOT NULL, received_at REAL NOT NULL) STRICT, WITHOUT ROWID;
`,
    down: 'DROP TABLE neighbours;',
  },
  {
    up: 'CREATE TABLE join_token_uses (id TEXT PRIMARY KEY, use TEXT NOT NULL) STRICT, WITHOUT ROWID;',
    down: 'DROP TABLE join_token_uses;',
  },
]

/** How to open a store. */
export interface StoreOptions {
  /** Steps to run. Default: all. */
  readonly steps?: readonly SchemaStep[]
  /** Opens a store that has run exactly these steps, and writes nothing. Default false. */
  readonly readOnly?: boolean
}

/**
 * Opens the server's store: entries, wrapped keys, key bindings. The log is a file of its own.
 *
 * @throws {@link AimsError} `storage.*`, e.g. `storage.newer_version`
 */
export function openStore(path: string, { steps = SCHEMA, readOnly = false }: StoreOptions = {}): DatabaseSync {
  const schema = steps.map(({ up }) => up)
  return openDatabase(path, { schema, label: `store ${path}`, applicationId: APPLICATION_ID, readOnly })
}
