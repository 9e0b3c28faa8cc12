-- needs: 1
-- What incidents barred of a key and what was cleared again, as JSON.
ALTER TABLE keys ADD COLUMN cleared text NOT NULL DEFAULT '[]';
ALTER TABLE keys ADD COLUMN barred text NOT NULL DEFAULT '[]';

-- `things` and `against` are JSON.
ALTER TABLE incidents ADD COLUMN things text NOT NULL DEFAULT '[]';
ALTER TABLE incidents ADD COLUMN against text NOT NULL DEFAULT '[]';
ALTER TABLE incidents ADD COLUMN undo text NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN who text NOT NULL DEFAULT '';

-- What is usual for a key, as the detectors write it. No part of the books: it may be lost.
CREATE TABLE pasts (
    key        text   PRIMARY KEY,
    changed_ms bigint NOT NULL,
    blob       bytea  NOT NULL
);
