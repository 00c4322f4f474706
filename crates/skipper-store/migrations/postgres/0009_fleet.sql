-- Hosts of the fleet. `generation` counts up with every order that is handed out there.
CREATE TABLE node (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    spec TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL DEFAULT 0,
    last_seen BIGINT,
    agent_version TEXT COLLATE "C",
    draining BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    row_version BIGINT NOT NULL DEFAULT 1
);

-- What lets a node's agent in, by its hash; and what lets one fetch that for itself, once.
CREATE TABLE node_token (
    sha256 TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    node TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX node_token_by_node ON node_token (node);

-- Declarative orders to nodes. Secrets are not in here: `secrets` names their versions.
CREATE TABLE work_order (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    tenant TEXT COLLATE "C" NOT NULL,
    node TEXT COLLATE "C" NOT NULL,
    release_id TEXT COLLATE "C" NOT NULL,
    deployment_id TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    ready BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    deadline BIGINT NOT NULL,
    lease_owner TEXT COLLATE "C",
    lease_until BIGINT,
    finished_at BIGINT,
    idempotency_key TEXT COLLATE "C",
    provenance TEXT COLLATE "C" NOT NULL,
    desired TEXT COLLATE "C" NOT NULL,
    secrets TEXT COLLATE "C" NOT NULL,
    result TEXT COLLATE "C"
);
CREATE INDEX work_order_by_node ON work_order (node, status, id);
CREATE INDEX work_order_by_deployment ON work_order (deployment_id, id);
CREATE INDEX work_order_by_tenant ON work_order (tenant, id);
CREATE INDEX work_order_by_status ON work_order (status, deadline);

-- What people wrote of tenants and services, and what is known of them.
CREATE TABLE resource (
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    tenant TEXT COLLATE "C" NOT NULL,
    spec TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    row_version BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);
CREATE INDEX resource_by_tenant ON resource (tenant, kind, name);
