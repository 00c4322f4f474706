-- Which server tends what runs: at most one row. Only servers that share a database ask.
CREATE TABLE home (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    owner TEXT NOT NULL,
    place TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- The rollout that a revision came from.
CREATE INDEX rollout_by_target ON rollout (release_id, to_revision);

-- What a user asked the edge to do with the requests of an application, until asked to forward them again.
CREATE TABLE mode (
    release_id TEXT NOT NULL REFERENCES release (id),
    app TEXT NOT NULL,
    mode TEXT NOT NULL,
    PRIMARY KEY (release_id, app)
) STRICT;
