-- What came through one door, by name.
CREATE INDEX release_of_door ON release (tenant, door, name) WHERE purged = 0 AND deleted = 0;

-- Branches of databases at somebody else's, each noted before it is asked for, until it is known to be gone.
CREATE TABLE database_branch (
    name TEXT COLLATE "C" PRIMARY KEY,
    release_id TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    remote TEXT COLLATE "C",
    asked_at BIGINT NOT NULL,
    gone BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX database_branch_by_release ON database_branch (release_id);
CREATE INDEX database_branch_due ON database_branch (due_at) WHERE gone = 1;
