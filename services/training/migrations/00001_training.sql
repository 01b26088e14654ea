-- +goose Up
CREATE TABLE training_jobs (
    id               TEXT PRIMARY KEY, -- Grows with time.
    project          TEXT NOT NULL,
    request_id       TEXT, -- The client's own, NULL if it gave none.
    state            TEXT NOT NULL,
    fence            BIGINT NOT NULL, -- Grows with each change of what users see; changes compare and set it.
    recipe           TEXT NOT NULL,
    dataset_version  TEXT NOT NULL,
    manifest_sha256  TEXT NOT NULL,
    base_datasets    TEXT NOT NULL, -- JSON, as are all columns of lists, maps and messages here.
    parameters       TEXT NOT NULL,
    labels           TEXT NOT NULL,
    resources        TEXT NOT NULL,
    image            TEXT NOT NULL,
    spec             TEXT NOT NULL, -- The whole CreateTrainingJob request.
    spec_hash        TEXT NOT NULL,
    sagemaker_name   TEXT NOT NULL,
    sagemaker_arn    TEXT NOT NULL, -- Empty until SageMaker has the job.
    attempts         BIGINT NOT NULL, -- Calls of CreateTrainingJob that were begun.
    secondary_status TEXT NOT NULL,
    transitions      TEXT NOT NULL,
    billable_seconds BIGINT, -- Of one instance; NULL until SageMaker tells.
    start_time       BIGINT NOT NULL,
    end_time         BIGINT NOT NULL,
    metrics          TEXT NOT NULL, -- The newest value of each.
    point_count      BIGINT NOT NULL,
    epoch            DOUBLE PRECISION NOT NULL, -- Of the last log line that told one.
    log_cursor       TEXT NOT NULL, -- Up to here the log was read for metrics.
    failure          TEXT,
    has_model        BOOLEAN NOT NULL,
    create_time      BIGINT NOT NULL,
    update_time      BIGINT NOT NULL,
    -- How replicas share the work; none of it is shown to users.
    next_at          BIGINT NOT NULL, -- When to look at the job again.
    describe_at      BIGINT NOT NULL, -- When to ask SageMaker again.
    hints            BIGINT NOT NULL, -- Grows when something may have happened.
    hints_seen       BIGINT NOT NULL,
    lease            TEXT NOT NULL,
    lease_until      BIGINT NOT NULL,
    troubles         BIGINT NOT NULL -- Failed looks in a row, for the backoff.
);

CREATE UNIQUE INDEX training_jobs_request ON training_jobs (project, request_id);
CREATE INDEX training_jobs_project ON training_jobs (project, id);
CREATE INDEX training_jobs_open ON training_jobs (next_at) WHERE state IN ('QUEUED', 'RUNNING', 'STOPPING');
CREATE UNIQUE INDEX training_jobs_sagemaker ON training_jobs (sagemaker_name);

CREATE TABLE metric_points (
    job_id TEXT NOT NULL REFERENCES training_jobs (id),
    number BIGINT NOT NULL, -- From 1, in the order of the log.
    name   TEXT NOT NULL,
    value  DOUBLE PRECISION NOT NULL,
    epoch  DOUBLE PRECISION NOT NULL,
    time   BIGINT NOT NULL,
    PRIMARY KEY (job_id, number)
);

CREATE TABLE models (
    id           TEXT PRIMARY KEY REFERENCES training_jobs (id),
    project      TEXT NOT NULL,
    artifact_uri TEXT NOT NULL,
    size_bytes   BIGINT NOT NULL,
    sha256       TEXT NOT NULL,
    metrics      TEXT NOT NULL,
    evaluation   TEXT NOT NULL, -- JSON as the trainer wrote it; empty if it wrote none.
    labels       TEXT NOT NULL,
    create_time  BIGINT NOT NULL
);

CREATE INDEX models_project ON models (project, id);

CREATE TABLE outbox (
    id       TEXT PRIMARY KEY,
    project  TEXT NOT NULL,
    resource TEXT NOT NULL,
    type     TEXT NOT NULL,
    time     BIGINT NOT NULL,
    payload  TEXT NOT NULL
);
