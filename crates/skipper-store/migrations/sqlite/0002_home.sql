-- Which server tends what runs: at most one row. Only servers that share a database ask.
CREATE TABLE home (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    owner TEXT NOT NULL,
    place TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
