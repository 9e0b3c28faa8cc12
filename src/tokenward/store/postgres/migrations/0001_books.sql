-- needs: 1
-- Times are Unix milliseconds, money nano-dollars, unless a type says otherwise. JSON is text, so
-- that it comes back byte for byte as it was hashed.

-- Where the books stand, in one row. Whoever writes holds the lock of the books, so its numbers
-- have no gaps. `seq` and `hash` are of the last entry, kept beside the entries, so that entries
-- cut off at the end are missed. `caps` changes whenever a cap does, `change` is the last of
-- `changes`.
CREATE TABLE book (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq    bigint  NOT NULL,
    hash   bytea   NOT NULL,
    caps   bigint  NOT NULL,
    change bigint  NOT NULL
);
INSERT INTO book (seq, hash, caps, change) VALUES (0, decode(repeat('00', 32), 'hex'), 0, 0);

-- The ledger. Never changed: a correction is a new entry. Each carries the hash of the one before,
-- hashed together with itself. `hold` is the seq of the hold's own entry.
CREATE TABLE entries (
    seq           bigint  PRIMARY KEY,
    ts            bigint  NOT NULL,
    kind          text    NOT NULL,
    hold          bigint  NOT NULL,
    at_ms         bigint  NOT NULL,
    account       text    NOT NULL,
    project       text    NOT NULL,
    key           text    NOT NULL,
    model         text    NOT NULL,
    nusd          bigint  NOT NULL,
    tokens        bigint  NOT NULL,
    calls         bigint  NOT NULL,
    input_tokens  bigint  NOT NULL,
    output_tokens bigint  NOT NULL,
    cached_tokens bigint  NOT NULL,
    estimate      bigint  NOT NULL,
    detail        text    NOT NULL,
    hash          bytea   NOT NULL
);
-- A hold ends once, whatever the code believes.
CREATE UNIQUE INDEX entries_end ON entries (hold) WHERE kind IN ('settle', 'void', 'expire');
CREATE INDEX entries_overrun ON entries (hold) WHERE kind = 'overrun';
-- Moments grow with the numbers of entries, nearly: a few bytes for many pages find them.
CREATE INDEX entries_moment ON entries USING brin (at_ms) WITH (pages_per_range = 32, autosummarize);

CREATE FUNCTION entries_never_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries are never changed or deleted; a correction is a new entry';
END $$;
CREATE TRIGGER entries_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION entries_never_change();

-- Gateways that run, by the database's clock. One that was not seen for a while is taken out, and
-- its holds are closed: whatever it still knew is late. `alone`: it keeps used proofs and rates to
-- itself, so no gateway on another machine may run beside it.
CREATE TABLE gateways (
    id      text        PRIMARY KEY,
    host    text        NOT NULL,
    version text        NOT NULL,
    alone   boolean     NOT NULL,
    started timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The holds that are open; what each reserved stands in its entry. Rows come and go with every
-- call, so they are swept often.
CREATE TABLE holds (
    id         bigint PRIMARY KEY,
    gateway    text   NOT NULL,
    request_id text   NOT NULL,
    expires_ms bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE accounts (
    name        text   PRIMARY KEY,
    created_ms  bigint NOT NULL,
    credit_nusd bigint
);

CREATE TABLE projects (
    name       text   PRIMARY KEY,
    account    text   NOT NULL REFERENCES accounts (name),
    created_ms bigint NOT NULL
);

-- `told_days`: how many days before its end people were last told of it (0: not yet).
CREATE TABLE keys (
    id           text   PRIMARY KEY,
    digest       bytea  NOT NULL,
    account      text   NOT NULL REFERENCES accounts (name),
    project      text   NOT NULL REFERENCES projects (name),
    name         text   NOT NULL,
    state        text   NOT NULL,
    caveats      text   NOT NULL,
    created_ms   bigint NOT NULL,
    expires_ms   bigint,
    last_used_ms bigint,
    frozen_why   text   NOT NULL,
    revoked_why  text   NOT NULL,
    old_secrets  text   NOT NULL,
    holder       text   NOT NULL DEFAULT '',
    enrolment    text   NOT NULL DEFAULT '',
    told_days    bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 80);
CREATE INDEX keys_end ON keys (expires_ms) WHERE expires_ms IS NOT NULL;

-- `since_ms` is the start of the first window that the cap counts.
CREATE TABLE caps (
    id         text    PRIMARY KEY,
    subject    text    NOT NULL,
    model      text    NOT NULL,
    "window"   text    NOT NULL,
    unit       text    NOT NULL,
    "limit"    bigint  NOT NULL CHECK ("limit" >= 0),
    zone       text    NOT NULL,
    throttles  boolean NOT NULL,
    created_ms bigint  NOT NULL,
    since_ms   bigint  NOT NULL,
    is_credit  boolean NOT NULL
);
CREATE UNIQUE INDEX caps_counted ON caps (subject, model, "window", unit, is_credit);

-- A new window is a new row. `told` is the highest alert threshold told in it, in per mille. Hot
-- rows are written with every batch: room in their pages keeps them where they are.
CREATE TABLE counters (
    cap       text   NOT NULL REFERENCES caps (id),
    start_ms  bigint NOT NULL,
    resets_ms bigint,
    spent     bigint NOT NULL,
    held      bigint NOT NULL,
    running   bigint NOT NULL,
    told      bigint NOT NULL,
    PRIMARY KEY (cap, start_ms)
) WITH (fillfactor = 50);
CREATE INDEX counters_age ON counters (resets_ms);

CREATE TABLE idempotency (
    key    text   NOT NULL,
    digest text   NOT NULL,
    hold   bigint NOT NULL,
    at_ms  bigint NOT NULL,
    PRIMARY KEY (key, digest)
);
CREATE INDEX idempotency_age ON idempotency (at_ms);

CREATE TABLE events (
    number  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ts      bigint NOT NULL,
    kind    text   NOT NULL,
    subject text   NOT NULL,
    facts   text   NOT NULL
);

CREATE TABLE records (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ts       bigint NOT NULL,
    key      text   NOT NULL,
    document bytea  NOT NULL
);
CREATE INDEX records_age ON records (ts);
CREATE INDEX records_of_key ON records (key, ts);

-- All refresh tokens of one grant; `number` is the one that is good now. None is stored: each is
-- made from the family's id, its number and the pepper.
CREATE TABLE families (
    id         text   PRIMARY KEY,
    key        text   NOT NULL REFERENCES keys (id),
    kind       text   NOT NULL,
    thumbprint text   NOT NULL,
    got_by     text   NOT NULL,
    scope      text   NOT NULL,
    number     bigint NOT NULL,
    created_ms bigint NOT NULL,
    used_ms    bigint NOT NULL,
    ends_ms    bigint NOT NULL,
    ended_ms   bigint,
    ended_why  text   NOT NULL
);
CREATE INDEX families_age ON families ((coalesce(ended_ms, ends_ms)));

-- Access tokens, by their own name or their family's, that are refused although their time has
-- not come.
CREATE TABLE revoked_tokens (
    name     text   PRIMARY KEY,
    until_ms bigint NOT NULL
);
CREATE INDEX revoked_tokens_age ON revoked_tokens (until_ms);

-- `actions` and `evidence` are JSON.
CREATE TABLE incidents (
    number                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                    text   NOT NULL UNIQUE,
    subject               text   NOT NULL,
    state                 text   NOT NULL,
    opened_ms             bigint NOT NULL,
    first_sign_ms         bigint NOT NULL,
    stopped_ms            bigint,
    actions               text   NOT NULL,
    evidence              text   NOT NULL,
    cost_before_stop_nusd bigint NOT NULL,
    calls_before_stop     bigint NOT NULL
);

-- What every gateway must hear of, numbered without gaps in the order it became true: `what` is
-- `key` or `name`, `name` the key's id or what was revoked.
CREATE TABLE changes (
    number bigint      PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    what   text        NOT NULL,
    name   text        NOT NULL
);
CREATE INDEX changes_age ON changes (at);

-- What every gateway must have alike, as a digest: the first one's stands.
CREATE TABLE pins (
    name   text  PRIMARY KEY,
    digest bytea NOT NULL
);
