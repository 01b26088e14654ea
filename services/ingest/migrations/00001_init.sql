-- +goose Up

-- One row a tenant. Locking it makes the quota check of a new version exact when a project begins several at once.
CREATE TABLE projects (
    id TEXT PRIMARY KEY
);

CREATE TABLE datasets (
    project        TEXT NOT NULL,
    id             TEXT NOT NULL,
    display_name   TEXT NOT NULL,
    description    TEXT NOT NULL,
    latest_version INTEGER NOT NULL,
    create_time    BIGINT NOT NULL,
    PRIMARY KEY (project, id)
);

CREATE INDEX datasets_newest ON datasets (project, create_time, id);

CREATE TABLE versions (
    project       TEXT NOT NULL,
    dataset       TEXT NOT NULL,
    number        INTEGER NOT NULL,
    state         TEXT NOT NULL,
    revision      BIGINT NOT NULL, -- Grows with every change of the row; what compare-and-set compares.
    fence         BIGINT NOT NULL, -- Grows with every claim; 0 before the first.
    lease_until   BIGINT NOT NULL, -- Of the claim with that fence; 0 when there is none.
    worker        TEXT NOT NULL,   -- Who has it; for people.
    attempts      INTEGER NOT NULL, -- Claims since the conversion last got further than ever before.
    best_examples INTEGER NOT NULL, -- How far it ever got.
    request_id    TEXT,            -- NULL when the client gave none.
    file_name     TEXT NOT NULL,
    size_bytes    BIGINT NOT NULL,
    options       TEXT NOT NULL,   -- JSON of trainyard.ingest.v1.ConversionOptions.
    bucket        TEXT NOT NULL,
    object_key    TEXT NOT NULL,
    upload_id     TEXT NOT NULL,   -- S3's multipart upload; empty when there is none.
    part_size     BIGINT NOT NULL,
    part_count    INTEGER NOT NULL,
    etag          TEXT NOT NULL,   -- Of the whole object, pinned at completion, without quotes.
    object_version TEXT NOT NULL,  -- S3's version id, where the bucket keeps versions.
    progress      TEXT,            -- JSON of trainyard.ingest.v1.ConversionProgress.
    result        TEXT,            -- JSON of trainyard.ingest.v1.ConversionResult; when READY.
    failure       TEXT,            -- JSON of trainyard.errors.v1.Failure; when FAILED.
    create_time   BIGINT NOT NULL,
    update_time   BIGINT NOT NULL,
    expire_time   BIGINT NOT NULL, -- When an upload that stays quiet is cleared away.
    next_check    BIGINT,          -- When the reconciler looks at it; NULL when it has ended.
    checks        INTEGER NOT NULL, -- Looks since the last change; spaces them out.
    PRIMARY KEY (project, dataset, number),
    FOREIGN KEY (project, dataset) REFERENCES datasets (project, id)
);

CREATE UNIQUE INDEX versions_request ON versions (project, dataset, request_id);
CREATE UNIQUE INDEX versions_object ON versions (bucket, object_key);
CREATE INDEX versions_due ON versions (next_check);
CREATE INDEX versions_latest_ready ON versions (project, dataset, state, number);
CREATE INDEX versions_quota ON versions (project, state, size_bytes);

CREATE TABLE outbox (
    id       TEXT PRIMARY KEY,
    project  TEXT NOT NULL,
    resource TEXT NOT NULL,
    type     TEXT NOT NULL,
    time     BIGINT NOT NULL,
    payload  TEXT NOT NULL
);

-- +goose Down
DROP TABLE outbox;
DROP TABLE versions;
DROP TABLE datasets;
DROP TABLE projects;
