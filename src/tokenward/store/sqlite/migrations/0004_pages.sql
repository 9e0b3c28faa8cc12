-- Long lists are read in pages, oldest first.
CREATE INDEX keys_age ON keys (created_ms, id);
CREATE INDEX caps_age ON caps (created_ms, id);
CREATE INDEX accounts_age ON accounts (created_ms, name);
