-- Which server tends what runs: at most one row. Only servers that share a database ask.
CREATE TABLE home (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    owner TEXT NOT NULL,
    place TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- The rollout that a revision came from.
CREATE INDEX rollout_by_target ON rollout (release_id, to_revision);
