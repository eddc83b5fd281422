-- STO-2
CREATE TABLE objects (
    object_type   TEXT    NOT NULL,
    id            TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    payload       BYTEA   NOT NULL,
    created_at_ms BIGINT  NOT NULL,
    updated_at_ms BIGINT  NOT NULL,
    UNIQUE (object_type, name)
);

-- STO-3
CREATE TABLE sandbox_policies (
    id             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sandbox_id     TEXT    NOT NULL REFERENCES objects (id) DEFERRABLE INITIALLY DEFERRED,
    version        BIGINT  NOT NULL,
    policy_payload BYTEA   NOT NULL,
    policy_hash    TEXT    NOT NULL,
    status         INTEGER NOT NULL,
    load_error     TEXT    NOT NULL,
    created_at_ms  BIGINT  NOT NULL,
    loaded_at_ms   BIGINT  NOT NULL,
    UNIQUE (sandbox_id, version)
);

-- STO-4
CREATE TABLE tombstones (
    object_type   TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    created_at_ms BIGINT  NOT NULL,
    PRIMARY KEY (object_type, name)
);

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

INSERT INTO meta (key, value) VALUES ('generation', '0');
