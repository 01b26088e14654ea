-- +goose Up
ALTER TABLE training_jobs ADD COLUMN region TEXT NOT NULL DEFAULT '';
-- JSON, as are all columns of lists, maps and messages here.
ALTER TABLE training_jobs ADD COLUMN custom_image TEXT;
ALTER TABLE training_jobs ADD COLUMN additional_versions TEXT NOT NULL DEFAULT '[]';
ALTER TABLE training_jobs ADD COLUMN input_modes TEXT NOT NULL DEFAULT '{}';
ALTER TABLE training_jobs ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
ALTER TABLE training_jobs ADD COLUMN resolved_bases TEXT NOT NULL DEFAULT '[]';
ALTER TABLE training_jobs ADD COLUMN notes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE training_jobs ADD COLUMN resume_from TEXT NOT NULL DEFAULT ''; -- Id of a job; empty if it begins anew.
ALTER TABLE training_jobs ADD COLUMN checkpoint_uri TEXT NOT NULL DEFAULT '';
ALTER TABLE training_jobs ADD COLUMN override_checks TEXT NOT NULL DEFAULT '[]';
ALTER TABLE training_jobs ADD COLUMN preflight TEXT NOT NULL DEFAULT '[]'; -- What was found when it was made.
ALTER TABLE training_jobs ADD COLUMN estimate TEXT;
ALTER TABLE training_jobs ADD COLUMN sweep TEXT NOT NULL DEFAULT ''; -- Id of the sweep it is a trial of.
ALTER TABLE training_jobs ADD COLUMN trial BIGINT NOT NULL DEFAULT 0; -- From 1, in its sweep.
-- Prices of the time when it was made: of an instance's hour, 0 if unknown.
ALTER TABLE training_jobs ADD COLUMN hourly_price DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE training_jobs ADD COLUMN currency TEXT NOT NULL DEFAULT '';
ALTER TABLE training_jobs ADD COLUMN training_seconds BIGINT; -- SageMaker's TrainingTimeInSeconds, of one instance; NULL until it tells.
ALTER TABLE training_jobs ADD COLUMN warm_pool_seconds BIGINT NOT NULL DEFAULT 0; -- Of one instance.
ALTER TABLE training_jobs ADD COLUMN warm_pool_status TEXT NOT NULL DEFAULT ''; -- SageMaker's; while it is open the job is looked at though it has ended.
-- What the quotas of a month are summed from: kept up to date with each look.
ALTER TABLE training_jobs ADD COLUMN instance_seconds BIGINT NOT NULL DEFAULT 0;
ALTER TABLE training_jobs ADD COLUMN cost DOUBLE PRECISION NOT NULL DEFAULT 0;

CREATE INDEX training_jobs_sweep ON training_jobs (sweep, trial) WHERE sweep <> '';
CREATE INDEX training_jobs_month ON training_jobs (project, create_time);
CREATE INDEX training_jobs_warm ON training_jobs (next_at) WHERE warm_pool_status IN ('Unknown', 'InUse', 'Available');

ALTER TABLE metric_points ADD COLUMN step BIGINT NOT NULL DEFAULT 0; -- 0 if the program told none.
