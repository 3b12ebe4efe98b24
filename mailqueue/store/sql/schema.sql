-- The schema's own record of itself, and what others noted about our tables.

-- name: schema_version
SELECT value FROM mailqueue_meta WHERE key = 'schema'

-- Changes nothing, and takes the lock of writers.
-- name: begin_to_write
UPDATE mailqueue_meta SET value = value WHERE key = ''

-- name: set_schema_version
UPDATE mailqueue_meta SET value = ? WHERE key = 'schema'

-- name: note_release
UPDATE mailqueue_meta SET note = ? WHERE key = ?

-- name: has_statistics
SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'

-- name: our_statistics
SELECT 1 FROM sqlite_stat1 WHERE tbl GLOB 'mailqueue_*'

-- name: forget_statistics
DELETE FROM sqlite_stat1 WHERE tbl GLOB 'mailqueue_*'

-- name: log_version
INSERT INTO mailqueue_meta (key, value, note) VALUES (?, CAST(strftime('%s', 'now') AS INTEGER) * 1000000, ?)
