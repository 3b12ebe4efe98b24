-- Engines at work, and what becomes of a dead one's claims.

-- name: all_engines
SELECT id, host, pid, process_start, boot_id, pid_namespace, started_at, heartbeat_at, relay
FROM mailqueue_engine ORDER BY id

-- The same of tables of any version.
-- name: engines_of_old
SELECT id, host, pid, process_start, boot_id, pid_namespace, started_at, heartbeat_at, NULL
FROM mailqueue_engine ORDER BY id

-- name: insert_engine
INSERT INTO mailqueue_engine
    (host, pid, process_start, boot_id, pid_namespace, started_at, heartbeat_at, relay)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: heartbeat
UPDATE mailqueue_engine SET heartbeat_at = ? WHERE id = ?

-- The last sign of life is the latest that the attempt can have run, so far as anybody knows.
-- name: interrupted_attempts
INSERT INTO mailqueue_attempt (message_id, number, engine_id, started_at, duration, outcome, category, error)
SELECT message.id, message.attempts, message.engine_id, message.claimed_at,
    max(0, coalesce(engine.heartbeat_at, 0) - message.claimed_at), 'interrupted', 'interrupted', ?
FROM mailqueue_message AS message
LEFT JOIN mailqueue_engine AS engine ON engine.id = message.engine_id
WHERE message.state = 'claimed' AND message.engine_id = ?

-- name: lanes_of_engine
SELECT priority, account_id, domain, transport, min(coalesce(later_at, next_attempt_at)) FROM mailqueue_message
WHERE state = 'claimed' AND engine_id = ? GROUP BY priority, account_id, domain, transport

-- name: return_claims
UPDATE mailqueue_message
SET state = 'queued', engine_id = NULL, claimed_at = NULL, last_error = ?,
    next_attempt_at = coalesce(later_at, next_attempt_at), later_at = NULL
WHERE state = 'claimed' AND engine_id = ?

-- name: free_slots
DELETE FROM mailqueue_slot WHERE engine_id = ?

-- name: delete_engine
DELETE FROM mailqueue_engine WHERE id = ?
