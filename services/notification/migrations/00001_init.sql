-- +goose Up

-- One row a project, and the lock under which its sequence grows.
CREATE TABLE logs (
    project         TEXT PRIMARY KEY,
    last_sequence   BIGINT NOT NULL, -- Of the newest event; 0 before the first.
    pruned_sequence BIGINT NOT NULL  -- Of the newest event that retention took away; 0 before.
);

CREATE TABLE events (
    project     TEXT NOT NULL,
    sequence    BIGINT NOT NULL,
    id          TEXT NOT NULL,
    resource    TEXT NOT NULL,
    type        TEXT NOT NULL,
    time        BIGINT NOT NULL, -- The writing service's.
    append_time BIGINT NOT NULL, -- The store's; retention goes by it.
    payload     TEXT,            -- JSON of google.protobuf.Struct; NULL when the event has none.
    PRIMARY KEY (project, sequence)
);

CREATE UNIQUE INDEX events_id ON events (project, id);

-- +goose Down
DROP TABLE events;
DROP TABLE logs;
