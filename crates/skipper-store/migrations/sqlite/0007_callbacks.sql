CREATE INDEX event_by_rollout ON event (rollout_id, seq);

-- What is still to be told to others of a rollout, and what they call it.
CREATE TABLE callback (
    rollout_id TEXT NOT NULL,
    target TEXT NOT NULL,
    release_name TEXT NOT NULL,
    pending TEXT NOT NULL,
    remote TEXT,
    active INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER,
    busy_until INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (rollout_id, target)
) STRICT;
CREATE INDEX callback_due ON callback (due_at);
CREATE INDEX callback_by_release ON callback (release_name, target);

-- The last event of which it was decided whether to tell others.
CREATE TABLE callback_cursor (
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
) STRICT;
