-- The public key that a key is bound to, as a thumbprint ("" while nobody is enrolled), and the
-- one-time code that enrols one ("" where there is none), as JSON.
ALTER TABLE keys ADD COLUMN holder TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN enrolment TEXT NOT NULL DEFAULT '';

-- How many days before its end people were last told of it (0: not yet).
ALTER TABLE keys ADD COLUMN told_days INTEGER NOT NULL DEFAULT 0;
CREATE INDEX keys_end ON keys (expires_ms) WHERE expires_ms IS NOT NULL;
