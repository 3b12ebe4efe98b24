-- Destinations in trouble, and what engines share of those that are limited.

-- name: changed_destinations
SELECT name, failures, since_at, blocked_until, canary_at, last_error, changed FROM mailqueue_destination
WHERE changed > ? ORDER BY changed

-- name: one_destination
SELECT name, failures, since_at, blocked_until, canary_at, last_error, changed FROM mailqueue_destination
WHERE name = ?

-- Those in trouble, the longest first.
-- name: troubled_destinations
SELECT name, failures, since_at, blocked_until, canary_at, last_error, changed FROM mailqueue_destination
WHERE failures > 0 ORDER BY since_at, name

-- What waits in the lanes that a destination blocks, the messages counted up to a limit.
-- name: backlog
SELECT (SELECT count(*) FROM mailqueue_lane WHERE blocked_by = ? AND due_at IS NOT NULL),
    (SELECT count(*) FROM (
        SELECT 1 FROM mailqueue_lane AS lane
        CROSS JOIN mailqueue_message AS message ON message.priority = lane.priority
            AND message.account_id = lane.account_id AND message.domain = lane.domain
            AND message.transport = lane.transport AND message.state = 'queued' AND message.holds = 0
        WHERE lane.blocked_by = ? AND lane.due_at IS NOT NULL
        LIMIT ?) AS waiting)

-- name: block_of_lane
SELECT blocked_until, blocked_by FROM mailqueue_lane
WHERE priority = ? AND account_id = ? AND domain = ? AND transport = ?
    AND blocked_until IS NOT NULL AND blocked_by IS NOT NULL

-- name: raise_changes
UPDATE mailqueue_meta SET value = value + 1 WHERE key = 'changes' RETURNING value

-- name: put_destination
INSERT INTO mailqueue_destination (name, failures, since_at, blocked_until, canary_at, last_error, changed)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET failures = excluded.failures, since_at = excluded.since_at,
    blocked_until = excluded.blocked_until, canary_at = excluded.canary_at, last_error = excluded.last_error,
    changed = excluded.changed

-- Destinations that are well again, and of which every engine has had a day to hear.
-- name: purge_destinations
DELETE FROM mailqueue_destination WHERE name IN (
    SELECT name FROM mailqueue_destination WHERE failures = 0 AND since_at < ? LIMIT ?)

-- name: pace
SELECT next_at FROM mailqueue_pace WHERE rule_id = ?

-- name: set_pace
INSERT INTO mailqueue_pace (rule_id, next_at) VALUES (?, ?)
ON CONFLICT (rule_id) DO UPDATE SET next_at = excluded.next_at

-- name: slots_taken
SELECT coalesce(sum(taken), 0) FROM mailqueue_slot WHERE rule_id = ?

-- name: take_slot
INSERT INTO mailqueue_slot (rule_id, engine_id, taken) VALUES (?, ?, 1)
ON CONFLICT (rule_id, engine_id) DO UPDATE SET taken = taken + 1

-- name: free_slot
UPDATE mailqueue_slot SET taken = taken - 1 WHERE rule_id = ? AND engine_id = ? AND taken > 1

-- name: free_last_slot
DELETE FROM mailqueue_slot WHERE rule_id = ? AND engine_id = ?

-- name: forget_rule_pace
DELETE FROM mailqueue_pace WHERE rule_id = ?

-- name: forget_rule_slots
DELETE FROM mailqueue_slot WHERE rule_id = ?
