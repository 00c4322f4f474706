-- Hosts of the fleet. `generation` counts up with every order that is handed out there.
CREATE TABLE node (
    name TEXT NOT NULL PRIMARY KEY,
    spec TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    last_seen INTEGER,
    agent_version TEXT,
    draining INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL DEFAULT 1
) STRICT;

-- What lets a node's agent in, by its hash; and what lets one fetch that for itself, once.
CREATE TABLE node_token (
    sha256 TEXT NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    purpose TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;
CREATE INDEX node_token_by_node ON node_token (node);

-- Declarative orders to nodes. Secrets are not in here: `secrets` names their versions.
CREATE TABLE work_order (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    tenant TEXT NOT NULL,
    node TEXT NOT NULL,
    release_id TEXT NOT NULL,
    deployment_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    ready INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    deadline INTEGER NOT NULL,
    lease_owner TEXT,
    lease_until INTEGER,
    finished_at INTEGER,
    idempotency_key TEXT,
    provenance TEXT NOT NULL,
    desired TEXT NOT NULL,
    secrets TEXT NOT NULL,
    result TEXT
) STRICT;
CREATE INDEX work_order_by_node ON work_order (node, status, id);
CREATE INDEX work_order_by_deployment ON work_order (deployment_id, id);
CREATE INDEX work_order_by_tenant ON work_order (tenant, id);
CREATE INDEX work_order_by_status ON work_order (status, deadline);

-- What people wrote of tenants and services, and what is known of them.
CREATE TABLE resource (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    tenant TEXT NOT NULL,
    spec TEXT NOT NULL,
    status TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    row_version INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT;
CREATE INDEX resource_by_tenant ON resource (tenant, kind, name);
