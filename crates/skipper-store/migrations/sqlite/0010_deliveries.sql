-- By what one delivery of an app is told from another: its tag, and when it was signed. What was deployed before, and what was
-- signed later, is looked up.
ALTER TABLE revision ADD COLUMN tag TEXT;
ALTER TABLE revision ADD COLUMN signed_at INTEGER;
UPDATE revision SET tag = source ->> 'tag', signed_at = CAST(source ->> 'signed_at' AS INTEGER)
    WHERE source LIKE '{"kind":"app"%';
CREATE INDEX revision_by_tag ON revision (release_id, tag) WHERE tag IS NOT NULL;
CREATE INDEX revision_by_signature ON revision (release_id, signed_at) WHERE signed_at IS NOT NULL;
