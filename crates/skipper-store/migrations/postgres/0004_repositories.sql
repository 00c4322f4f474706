-- Repositories that are read from elsewhere, and when and with what success that was done last.
-- `kind` is `local`, `remote`, `built-in`, or `removed` for a built-in one that somebody did not want.
ALTER TABLE repository ADD COLUMN source_url TEXT;
ALTER TABLE repository ADD COLUMN etag TEXT;
ALTER TABLE repository ADD COLUMN digest TEXT;
ALTER TABLE repository ADD COLUMN refreshed_at BIGINT;
ALTER TABLE repository ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repository ADD COLUMN problem TEXT;
ALTER TABLE repository ADD COLUMN due_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repository ADD COLUMN refresh_owner TEXT COLLATE "C";
ALTER TABLE repository ADD COLUMN refresh_until BIGINT NOT NULL DEFAULT 0;

-- A package whose archive is still where the repository has it is not `archived`; until then `sha256` is what the index
-- says, or empty. `version_key` sorts as versions do; `stamp` tells whether what an index says is news.
ALTER TABLE package ADD COLUMN version_key TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE package ADD COLUMN stamp TEXT NOT NULL DEFAULT '';
ALTER TABLE package ADD COLUMN archived BIGINT NOT NULL DEFAULT 1;
-- What is in an index is bounded. The texts are made anew when the server starts.
UPDATE package SET search = substr(search, 1, 300);
CREATE INDEX package_by_version ON package (name, version_key);
-- Everything that a search looks at, so that it reads nothing else of the packages that do not fit.
CREATE INDEX package_searched ON package (name, num, repository, search);
CREATE INDEX package_unkeyed ON package (num) WHERE version_key = '';
