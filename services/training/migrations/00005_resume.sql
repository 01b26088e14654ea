-- +goose Up
-- Two jobs that write to the same checkpoints at the same time would spoil them, and both be paid for.
CREATE UNIQUE INDEX training_jobs_checkpoints ON training_jobs (checkpoint_uri)
    WHERE checkpoint_uri <> '' AND state IN ('QUEUED', 'RUNNING', 'STOPPING');
