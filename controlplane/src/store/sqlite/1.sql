-- STO-2
CREATE TABLE objects (
    object_type   TEXT    NOT NULL,
    id            TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    payload       BLOB    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    UNIQUE (object_type, name)
) STRICT;

-- STO-3
CREATE TABLE sandbox_policies (
    id             INTEGER PRIMARY KEY,
    sandbox_id     TEXT    NOT NULL REFERENCES objects (id) DEFERRABLE INITIALLY DEFERRED,
    version        INTEGER NOT NULL,
    policy_payload BLOB    NOT NULL,
    policy_hash    TEXT    NOT NULL,
    status         INTEGER NOT NULL,
    load_error     TEXT    NOT NULL,
    created_at_ms  INTEGER NOT NULL,
    loaded_at_ms   INTEGER NOT NULL,
    UNIQUE (sandbox_id, version)
) STRICT;

-- STO-4
CREATE TABLE tombstones (
    object_type   TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (object_type, name)
) STRICT;

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

INSERT INTO meta (key, value) VALUES ('generation', '0');
