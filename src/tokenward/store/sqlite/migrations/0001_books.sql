-- Times are Unix milliseconds, money nano-dollars.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The ledger. Never changed: a correction is a new entry. Each carries the hash of the one before,
-- hashed together with itself. `hold` is the seq of the hold's own entry.
CREATE TABLE entries (
    seq           INTEGER PRIMARY KEY,
    ts            INTEGER NOT NULL,
    kind          TEXT    NOT NULL,
    hold          INTEGER NOT NULL,
    at_ms         INTEGER NOT NULL,
    account       TEXT    NOT NULL,
    project       TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    nusd          INTEGER NOT NULL,
    tokens        INTEGER NOT NULL,
    calls         INTEGER NOT NULL,
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    estimate      INTEGER NOT NULL,
    detail        TEXT    NOT NULL,
    hash          BLOB    NOT NULL
) STRICT;

-- A hold ends once, whatever the code believes.
CREATE UNIQUE INDEX entries_end ON entries (hold) WHERE kind IN ('settle', 'void', 'expire');
CREATE INDEX entries_overrun ON entries (hold) WHERE kind = 'overrun';
CREATE INDEX entries_posting ON entries (at_ms) WHERE kind IN ('settle', 'expire', 'overrun');

CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries BEGIN
    SELECT RAISE(ABORT, 'entries are never changed; a correction is a new entry');
END;
CREATE TRIGGER entries_never_go BEFORE DELETE ON entries BEGIN
    SELECT RAISE(ABORT, 'entries are never deleted; a correction is a new entry');
END;

-- The holds that are open; what each reserved stands in its entry.
CREATE TABLE holds (
    id         INTEGER PRIMARY KEY REFERENCES entries (seq),
    expires_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE accounts (
    name        TEXT PRIMARY KEY,
    created_ms  INTEGER NOT NULL,
    credit_nusd INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
    name       TEXT PRIMARY KEY,
    account    TEXT NOT NULL REFERENCES accounts (name),
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id           TEXT PRIMARY KEY,
    digest       BLOB NOT NULL,
    account      TEXT NOT NULL REFERENCES accounts (name),
    project      TEXT NOT NULL REFERENCES projects (name),
    name         TEXT NOT NULL,
    state        TEXT NOT NULL,
    caveats      TEXT NOT NULL,
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER,
    last_used_ms INTEGER,
    frozen_why   TEXT NOT NULL,
    revoked_why  TEXT NOT NULL,
    old_secrets  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- `since_ms` is the start of the first window that the cap counts.
CREATE TABLE caps (
    id         TEXT PRIMARY KEY,
    subject    TEXT NOT NULL,
    model      TEXT NOT NULL,
    window     TEXT NOT NULL,
    unit       TEXT NOT NULL,
    "limit"    INTEGER NOT NULL CHECK ("limit" >= 0),
    zone       TEXT NOT NULL,
    throttles  INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    since_ms   INTEGER NOT NULL,
    is_credit  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX caps_counted ON caps (subject, model, window, unit, is_credit);

-- A new window is a new row. `told` is the highest alert threshold told in it, in per mille.
CREATE TABLE counters (
    cap       TEXT    NOT NULL REFERENCES caps (id),
    start_ms  INTEGER NOT NULL,
    resets_ms INTEGER,
    spent     INTEGER NOT NULL,
    held      INTEGER NOT NULL,
    running   INTEGER NOT NULL,
    told      INTEGER NOT NULL,
    PRIMARY KEY (cap, start_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX counters_age ON counters (resets_ms);

CREATE TABLE idempotency (
    key    TEXT    NOT NULL,
    digest TEXT    NOT NULL,
    hold   INTEGER NOT NULL,
    at_ms  INTEGER NOT NULL,
    PRIMARY KEY (key, digest)
) STRICT;
CREATE INDEX idempotency_age ON idempotency (at_ms);

CREATE TABLE events (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    ts      INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    facts   TEXT    NOT NULL
) STRICT;

CREATE TABLE records (
    id       INTEGER PRIMARY KEY,
    ts       INTEGER NOT NULL,
    key      TEXT    NOT NULL,
    document BLOB    NOT NULL
) STRICT;
CREATE INDEX records_age ON records (ts);
CREATE INDEX records_of_key ON records (key, ts);
