CREATE INDEX event_by_rollout ON event (rollout_id, seq);

-- What is still to be told to others of a rollout, and what they call it.
CREATE TABLE callback (
    rollout_id TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    release_name TEXT COLLATE "C" NOT NULL,
    pending TEXT NOT NULL,
    remote TEXT,
    active BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    due_at BIGINT,
    busy_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (rollout_id, target)
);
CREATE INDEX callback_due ON callback (due_at);
CREATE INDEX callback_by_release ON callback (release_name, target);

-- The last event of which it was decided whether to tell others.
CREATE TABLE callback_cursor (
    id BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL
);
