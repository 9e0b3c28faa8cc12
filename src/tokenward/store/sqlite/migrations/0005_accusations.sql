-- What incidents barred of a key and what was cleared again, as JSON.
ALTER TABLE keys ADD COLUMN cleared TEXT NOT NULL DEFAULT '[]';
ALTER TABLE keys ADD COLUMN barred TEXT NOT NULL DEFAULT '[]';

-- `things` and `against` are JSON.
ALTER TABLE incidents ADD COLUMN things TEXT NOT NULL DEFAULT '[]';
ALTER TABLE incidents ADD COLUMN against TEXT NOT NULL DEFAULT '[]';
ALTER TABLE incidents ADD COLUMN undo TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN who TEXT NOT NULL DEFAULT '';

-- What is usual for a key, as the detectors write it. No part of the books: it may be lost.
CREATE TABLE pasts (
    key        TEXT PRIMARY KEY,
    changed_ms INTEGER NOT NULL,
    blob       BLOB    NOT NULL
) STRICT;
