-- +goose Up
-- What projects published; the operator's base datasets stand in a file.
CREATE TABLE base_datasets (
    project         TEXT NOT NULL,
    id              TEXT NOT NULL,
    display_name    TEXT NOT NULL,
    description     TEXT NOT NULL,
    dataset_version TEXT NOT NULL,
    manifest_sha256 TEXT NOT NULL,
    location        TEXT NOT NULL, -- JSON, as are labels and features.
    labels          TEXT NOT NULL,
    features        TEXT NOT NULL,
    example_count   BIGINT NOT NULL,
    size_bytes      BIGINT NOT NULL,
    file_count      BIGINT NOT NULL, -- Shards.
    mix_ratio       DOUBLE PRECISION NOT NULL,
    create_time     BIGINT NOT NULL,
    PRIMARY KEY (project, id)
);
