-- +goose Up
CREATE TABLE sweeps (
    id                  TEXT PRIMARY KEY, -- Grows with time.
    project             TEXT NOT NULL,
    request_id          TEXT, -- The client's own, NULL if it gave none.
    state               TEXT NOT NULL,
    fence               BIGINT NOT NULL, -- Grows with each change of what users see; changes compare and set it.
    template            TEXT NOT NULL, -- The TrainingJob that trials have in common. JSON, as are all columns of lists, maps and messages here.
    parameters          TEXT NOT NULL, -- The values that parameters take, by name.
    strategy            TEXT NOT NULL,
    max_trials          BIGINT NOT NULL,
    parallel_trials     BIGINT NOT NULL,
    objective_metric    TEXT NOT NULL,
    goal                TEXT NOT NULL,
    max_failed_trials   BIGINT NOT NULL,
    seed                BIGINT NOT NULL,
    trials              TEXT NOT NULL, -- The parameters of each, planned before the first starts. Which have jobs is in training_jobs.
    trial_count         BIGINT NOT NULL,
    -- What the jobs had come to at the last look.
    started_trial_count BIGINT NOT NULL,
    ended_trial_count   BIGINT NOT NULL,
    best_job            TEXT NOT NULL, -- Id; empty until there is one.
    best_value          DOUBLE PRECISION NOT NULL,
    billed_seconds      BIGINT NOT NULL,
    cost                DOUBLE PRECISION NOT NULL,
    currency            TEXT NOT NULL,
    failure             TEXT,
    create_time         BIGINT NOT NULL,
    update_time         BIGINT NOT NULL,
    end_time            BIGINT NOT NULL,
    -- How replicas share the work; none of it is shown to users.
    next_at             BIGINT NOT NULL, -- When to look at the sweep again.
    lease               TEXT NOT NULL,
    lease_until         BIGINT NOT NULL,
    troubles            BIGINT NOT NULL -- Failed looks in a row, for the backoff.
);

CREATE UNIQUE INDEX sweeps_request ON sweeps (project, request_id);
CREATE INDEX sweeps_project ON sweeps (project, id);
CREATE INDEX sweeps_open ON sweeps (next_at) WHERE state IN ('RUNNING', 'STOPPING');
