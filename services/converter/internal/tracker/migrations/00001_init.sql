-- +goose Up
CREATE TABLE conversions (
    project       TEXT NOT NULL,
    name          TEXT NOT NULL,
    fence         BIGINT NOT NULL,
    plan_key      TEXT NOT NULL,
    plan_size     BIGINT NOT NULL,
    source_key    TEXT NOT NULL,
    source_size   BIGINT NOT NULL,
    source_etag   TEXT NOT NULL,
    output_prefix TEXT NOT NULL,
    records       BIGINT NOT NULL,
    left_out      BIGINT NOT NULL,
    sent          BOOLEAN NOT NULL,
    PRIMARY KEY (project, name)
);

CREATE TABLE tasks (
    project  TEXT NOT NULL,
    name     TEXT NOT NULL,
    task     BIGINT NOT NULL,
    bytes    BIGINT NOT NULL,
    done     BOOLEAN NOT NULL,
    examples BIGINT NOT NULL,
    left_out BIGINT NOT NULL,
    read     BIGINT NOT NULL,
    last_try BOOLEAN NOT NULL,
    PRIMARY KEY (project, name, task)
);

-- +goose Down
DROP TABLE tasks;
DROP TABLE conversions;
