-- The first schema. Numbers are 64-bit, truth is 0 or 1, time is microseconds since 1970, ids and JSON documents are text.
-- This file and its twin for the other database are made of the same tables, columns and indexes; a test compares them.

CREATE TABLE store_meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    schema_version INTEGER NOT NULL,
    store_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE tenant (
    name TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE release (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL REFERENCES tenant (name),
    name TEXT NOT NULL,
    door TEXT NOT NULL,
    serving INTEGER,
    last_revision INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    purged INTEGER NOT NULL DEFAULT 0,
    gen_epoch INTEGER NOT NULL DEFAULT 0,
    gen_counter INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1
) STRICT;
-- A purged release leaves only its id behind, and its name is free again.
CREATE UNIQUE INDEX release_by_name ON release (tenant, name) WHERE purged = 0;
CREATE INDEX release_listed ON release (tenant, name) WHERE purged = 0 AND deleted = 0;

CREATE TABLE revision (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    release_id TEXT NOT NULL REFERENCES release (id),
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    source TEXT NOT NULL,
    package_repository TEXT,
    package_name TEXT,
    package_version TEXT,
    manifest TEXT,
    spec_version INTEGER,
    spec TEXT,
    resolved INTEGER NOT NULL DEFAULT 0,
    provenance TEXT NOT NULL,
    description TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1,
    UNIQUE (release_id, number)
) STRICT;
CREATE INDEX revision_by_state ON revision (release_id, state, number);
CREATE INDEX revision_uses_package ON revision (package_repository, package_name, package_version)
    WHERE state IN ('pending', 'live');

CREATE TABLE rollout (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    release_id TEXT NOT NULL REFERENCES release (id),
    verb TEXT NOT NULL,
    from_revision INTEGER,
    to_revision INTEGER,
    slot TEXT CHECK (slot IN ('open', 'waiting')),
    phase_name TEXT NOT NULL,
    phase TEXT NOT NULL,
    plan TEXT,
    plan_hash TEXT,
    plan_index TEXT,
    required_plan TEXT,
    purge INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    secrets TEXT NOT NULL,
    provenance TEXT NOT NULL,
    lease_owner TEXT,
    lease_expires_at INTEGER,
    gen_epoch INTEGER,
    gen_counter INTEGER,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    row_version INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE UNIQUE INDEX rollout_one_open ON rollout (release_id) WHERE slot = 'open';
CREATE UNIQUE INDEX rollout_one_waiting ON rollout (release_id) WHERE slot = 'waiting';
CREATE INDEX rollout_due ON rollout (num) WHERE slot = 'open';
CREATE INDEX rollout_by_release ON rollout (release_id, num);

-- The deployments that the plan of an open rollout may make: known before anything is launched.
CREATE TABLE plan_deployment (
    deployment_id TEXT NOT NULL,
    rollout_id TEXT NOT NULL REFERENCES rollout (id),
    PRIMARY KEY (deployment_id, rollout_id)
) STRICT;
CREATE INDEX plan_deployment_by_rollout ON plan_deployment (rollout_id);

CREATE TABLE step (
    rollout_id TEXT NOT NULL REFERENCES rollout (id),
    idx INTEGER NOT NULL,
    app TEXT NOT NULL,
    target TEXT NOT NULL,
    action TEXT NOT NULL,
    state TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (rollout_id, idx)
) STRICT;

CREATE TABLE live (
    deployment_id TEXT PRIMARY KEY,
    release_id TEXT NOT NULL REFERENCES release (id),
    app TEXT NOT NULL,
    target TEXT NOT NULL,
    revision INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    instances TEXT NOT NULL,
    addresses TEXT NOT NULL,
    gen_epoch INTEGER NOT NULL,
    gen_counter INTEGER NOT NULL,
    deployment TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX live_by_release ON live (release_id);

-- Which secrets a deployment uses, so that none is taken away under it.
CREATE TABLE live_secret (
    deployment_id TEXT NOT NULL REFERENCES live (deployment_id) ON DELETE CASCADE,
    tenant TEXT NOT NULL,
    secret TEXT NOT NULL,
    PRIMARY KEY (deployment_id, secret)
) STRICT;
CREATE INDEX live_secret_by_name ON live_secret (tenant, secret);

CREATE TABLE bundle (
    rollout_id TEXT PRIMARY KEY REFERENCES rollout (id),
    at INTEGER NOT NULL,
    bundle TEXT NOT NULL
) STRICT;

-- The last event's number and hash. Its row is locked by every transaction that appends.
CREATE TABLE chain (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;

CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    tenant TEXT,
    release_name TEXT,
    revision INTEGER,
    rollout_id TEXT,
    provenance TEXT NOT NULL,
    data TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_release ON event (tenant, release_name, seq);
CREATE INDEX event_by_tenant ON event (tenant, seq);

-- `version` counts on after a secret was removed, so that a number never means two values.
CREATE TABLE secret (
    tenant TEXT NOT NULL REFERENCES tenant (name),
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant, name)
) STRICT;

CREATE TABLE secret_version (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    nonce BLOB NOT NULL,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (tenant, name, version),
    FOREIGN KEY (tenant, name) REFERENCES secret (tenant, name)
) STRICT;

CREATE TABLE token (
    id TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    tenant TEXT,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE TABLE repository (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    tenant TEXT,
    kind TEXT NOT NULL,
    url TEXT,
    description TEXT,
    priority INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE package (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL REFERENCES repository (name),
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    search TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1,
    UNIQUE (repository, name, version)
) STRICT;
CREATE INDEX package_by_name ON package (name, num);

CREATE TABLE package_archive (
    package_num INTEGER PRIMARY KEY REFERENCES package (num) ON DELETE CASCADE,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    actor TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('in-progress', 'done')),
    holder TEXT NOT NULL,
    busy_until INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    rollout_id TEXT,
    status INTEGER,
    headers TEXT,
    body BLOB,
    PRIMARY KEY (tenant, actor, idempotency_key)
) STRICT;
CREATE INDEX idempotency_expired ON idempotency (expires_at);

CREATE TABLE port_claim (
    port INTEGER PRIMARY KEY,
    release_id TEXT NOT NULL REFERENCES release (id),
    app TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (release_id, app)
) STRICT;

-- `host` is empty for any.
CREATE TABLE route_claim (
    listener TEXT NOT NULL,
    host TEXT NOT NULL,
    path TEXT NOT NULL,
    release_id TEXT NOT NULL REFERENCES release (id),
    app TEXT NOT NULL,
    PRIMARY KEY (listener, host, path)
) STRICT;
CREATE INDEX route_claim_by_release ON route_claim (release_id);

INSERT INTO chain (id, seq, hash) VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO tenant (name, created_at) VALUES ('default', 0);
INSERT INTO repository (name, kind, description, priority, created_at)
    VALUES ('local', 'local', 'Packages uploaded to this server', 0, 0);
