-- One row for each write whose event has not reached its queues yet. A row that
-- outlives its process is recovered at the next start.
CREATE TABLE IF NOT EXISTS intents (
  id         INTEGER PRIMARY KEY AUTOINCREMENT, -- also the event's sequencer
  bucket     TEXT NOT NULL,
  key        TEXT NOT NULL,
  event_name TEXT NOT NULL -- without "s3:", as in the event
) STRICT;

-- The notification configuration of each bucket that has one, as XML.
CREATE TABLE IF NOT EXISTS notifications (
  bucket        TEXT PRIMARY KEY,
  configuration TEXT NOT NULL
) STRICT;
