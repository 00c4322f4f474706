-- What came through one door, by name.
CREATE INDEX release_of_door ON release (tenant, door, name) WHERE purged = 0 AND deleted = 0;

-- Branches of databases at somebody else's, each noted before it is asked for, until it is known to be gone.
CREATE TABLE database_branch (
    name TEXT PRIMARY KEY,
    release_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    project TEXT NOT NULL,
    remote TEXT,
    asked_at INTEGER NOT NULL,
    gone INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX database_branch_by_release ON database_branch (release_id);
CREATE INDEX database_branch_due ON database_branch (due_at) WHERE gone = 1;
