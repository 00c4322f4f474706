-- What the documents of a revision say of themselves, by which its release is found. Rows of revisions before the serving one
-- may be missing.
CREATE TABLE release_metadata (
    tenant TEXT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    release_id TEXT NOT NULL REFERENCES release (id),
    revision BIGINT NOT NULL,
    PRIMARY KEY (release_id, revision, key, value)
);
CREATE INDEX release_by_metadata ON release_metadata (tenant, key, value, name);
