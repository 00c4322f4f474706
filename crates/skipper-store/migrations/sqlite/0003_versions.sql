-- What Spring's API shows of a revision: its number without counting scalings, and the package as it was when it was asked
-- for, which outlives the package itself.
CREATE TABLE kept_package (
    digest TEXT PRIMARY KEY,
    document TEXT NOT NULL
) STRICT;

ALTER TABLE revision ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE revision ADD COLUMN scaled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE revision ADD COLUMN made_of INTEGER;
ALTER TABLE revision ADD COLUMN kept TEXT REFERENCES kept_package (digest);
CREATE INDEX revision_by_version ON revision (release_id, version);
-- What Spring's API lists: all that is not over.
CREATE INDEX revision_shown ON revision (num) WHERE state IN ('live', 'failed', 'cancelled', 'pending');
CREATE INDEX revision_keeps ON revision (kept);

UPDATE revision SET made_of = number WHERE package_name IS NOT NULL AND source LIKE '{"kind":"package"%';
UPDATE revision SET scaled = 1 WHERE source LIKE '{"kind":"scale"%';
UPDATE revision SET version = number - (SELECT COUNT(*) FROM revision AS earlier
    WHERE earlier.release_id = revision.release_id AND earlier.scaled = 1 AND earlier.number <= revision.number);
