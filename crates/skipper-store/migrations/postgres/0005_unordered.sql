-- A repository whose order nobody gave says so.
ALTER TABLE repository ADD COLUMN ordered BIGINT NOT NULL DEFAULT 1;
