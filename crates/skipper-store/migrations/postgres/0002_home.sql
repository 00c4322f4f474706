-- Which server tends what runs: at most one row. Only servers that share a database ask.
CREATE TABLE home (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    owner TEXT NOT NULL,
    place TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
