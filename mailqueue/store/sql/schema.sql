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

-- What a migration asks of the tables that it finds.

-- name: made_for_table
SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY rowid

-- name: columns_of_both
SELECT name FROM pragma_table_info(?) WHERE name IN (SELECT name FROM pragma_table_info(?)) ORDER BY cid

-- name: forget_last_id
DELETE FROM sqlite_sequence WHERE name = ?

-- name: keep_last_id
INSERT INTO sqlite_sequence (name, seq) SELECT ?, seq FROM sqlite_sequence WHERE name = ?

-- (In braces: names of a table and its columns, from the text of a step.)
-- name: fill_new_table
INSERT INTO {table}_new ({columns}) SELECT {columns} FROM {table} ORDER BY rowid

-- name: drop_old_table
DROP TABLE {table}

-- name: put_new_table_in_place
ALTER TABLE {table}_new RENAME TO {table}

-- name: orphans_of_table
SELECT "table", rowid, parent FROM pragma_foreign_key_check(?)

-- What restoring a backup asks of the file that it replaces.

-- name: tables_of_others
SELECT name FROM sqlite_master
WHERE type = 'table' AND name NOT GLOB 'mailqueue_*' AND name NOT GLOB 'sqlite_*' ORDER BY name

-- name: our_last_ids
SELECT name, seq FROM sqlite_sequence WHERE name GLOB 'mailqueue_*'

-- name: raise_last_id
UPDATE sqlite_sequence SET seq = ? WHERE name = ? AND seq < ?

-- name: settings_after
UPDATE mailqueue_meta SET value = 1 + max(value, ?) WHERE key = 'settings'
