-- Queues and their messages. Times are microseconds since the Unix epoch.
CREATE TABLE IF NOT EXISTS queues (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  name        TEXT    NOT NULL UNIQUE,
  attributes  TEXT    NOT NULL, -- JSON object, only what was set by the caller
  tags        TEXT    NOT NULL, -- JSON object
  created_us  INTEGER NOT NULL,
  modified_us INTEGER NOT NULL,
  purged_us   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE IF NOT EXISTS messages (
  id                INTEGER PRIMARY KEY AUTOINCREMENT,
  queue_id          INTEGER NOT NULL REFERENCES queues (id) ON DELETE CASCADE,
  message_id        TEXT    NOT NULL,
  body              TEXT    NOT NULL,
  attributes        TEXT    NOT NULL, -- JSON of the message attributes, '' for none
  trace_header      TEXT    NOT NULL,
  group_id          TEXT    NOT NULL,
  sent_us           INTEGER NOT NULL,
  visible_us        INTEGER NOT NULL,
  first_received_us INTEGER NOT NULL DEFAULT 0,
  receive_count     INTEGER NOT NULL DEFAULT 0,
  receipt           TEXT    NOT NULL DEFAULT '', -- of the newest receive
  received_us       INTEGER NOT NULL DEFAULT 0,
  source_arn        TEXT    NOT NULL DEFAULT ''  -- the queue it was dead-lettered from
) STRICT;

CREATE INDEX IF NOT EXISTS messages_visible ON messages (queue_id, visible_us, id);
CREATE INDEX IF NOT EXISTS messages_sent ON messages (queue_id, sent_us);
