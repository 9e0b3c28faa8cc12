-- All refresh tokens of one grant; `number` is the one that is good now. None is stored: each is
-- made from the family's id, its number and the pepper.
CREATE TABLE families (
    id         TEXT PRIMARY KEY,
    key        TEXT    NOT NULL REFERENCES keys (id),
    kind       TEXT    NOT NULL,
    thumbprint TEXT    NOT NULL,
    got_by     TEXT    NOT NULL,
    scope      TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    used_ms    INTEGER NOT NULL,
    ends_ms    INTEGER NOT NULL,
    ended_ms   INTEGER,
    ended_why  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX families_age ON families (coalesce(ended_ms, ends_ms));

-- Access tokens, by their own name or their family's, that are refused although their time has
-- not come.
CREATE TABLE revoked_tokens (
    name     TEXT PRIMARY KEY,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_tokens_age ON revoked_tokens (until_ms);

-- `actions` and `evidence` are JSON.
CREATE TABLE incidents (
    number                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                    TEXT    NOT NULL UNIQUE,
    subject               TEXT    NOT NULL,
    state                 TEXT    NOT NULL,
    opened_ms             INTEGER NOT NULL,
    first_sign_ms         INTEGER NOT NULL,
    stopped_ms            INTEGER,
    actions               TEXT    NOT NULL,
    evidence              TEXT    NOT NULL,
    cost_before_stop_nusd INTEGER NOT NULL,
    calls_before_stop     INTEGER NOT NULL
) STRICT;
